import { DEFAULT_THEME, mergeMantineTheme } from "@mantine/core";
import { describe, expect, it } from "vitest";
import { theme, variables } from "./theme";

const all = variables(mergeMantineTheme(DEFAULT_THEME, theme)) as unknown as Record<string, Record<string, string>>;

/** Relative luminance of `#rrggbb`, by WCAG 2.2. */
function luminance(colour: string): number {
  const [r = 0, g = 0, b = 0] = [1, 3, 5]
    .map((at) => Number.parseInt(colour.slice(at, at + 2), 16) / 255)
    .map((value) => (value <= 0.04045 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4));
  return 0.2126 * r + 0.7152 * g + 0.0722 * b;
}

function contrast(a: string, b: string): number {
  const [light, dark] = [luminance(a), luminance(b)].sort((x, y) => y - x) as [number, number];
  return (light + 0.05) / (dark + 0.05);
}

const GROUNDS = ["--mantine-color-body", "--lt-surface", "--lt-sunken"];
const TEXTS = ["--mantine-color-text", "--mantine-color-dimmed", "--lt-good", "--lt-warn", "--lt-bad", "--lt-accent"];
const OWN = ["good", "warn", "bad", "accent"].map((name): [string, string] => [`--lt-${name}`, `--lt-${name}-ground`]);

describe.each(["light", "dark"] as const)("in the %s theme", (scheme) => {
  const colour = (name: string): string => {
    const value = all[scheme]?.[name] ?? all.variables?.[name] ?? "";
    const reference = /^var\((--[\w-]+)\)$/.exec(value)?.[1];
    return reference ? colour(reference) : value;
  };

  it.each(GROUNDS.flatMap((ground) => TEXTS.map((text): [string, string] => [text, ground])))(
    "%s on %s reaches 4.5 : 1",
    (text, ground) => {
      expect(contrast(colour(text), colour(ground))).toBeGreaterThanOrEqual(4.5);
    },
  );

  it.each([...OWN, ["--mantine-color-text", "--lt-good-ground"] satisfies [string, string]])(
    "%s on %s reaches 4.5 : 1",
    (text, ground) => {
      expect(contrast(colour(text), colour(ground))).toBeGreaterThanOrEqual(4.5);
    },
  );

  it.each(GROUNDS)("the edge of a field on %s reaches 3 : 1", (ground) => {
    expect(contrast(colour("--lt-field"), colour(ground))).toBeGreaterThanOrEqual(3);
  });

  it("white on filled buttons reaches 4.5 : 1", () => {
    for (const name of ["accent", "green", "red"]) {
      expect(contrast("#ffffff", colour(`--mantine-color-${name}-filled`))).toBeGreaterThanOrEqual(4.5);
    }
  });
});
