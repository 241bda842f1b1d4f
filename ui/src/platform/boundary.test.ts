import { expect, it } from "vitest";

/** Every source file but tests, by its path from src/, without its comments. */
const sources = Object.entries(
  import.meta.glob<string>(["../**/*.{ts,tsx}", "!../**/*.test.{ts,tsx}"], {
    query: "?raw",
    import: "default",
    eager: true,
  }),
).map(
  ([path, text]) =>
    [
      path.replace(/^\.\.\//, "").replace(/^\.\//, "platform/"),
      text.replace(/\/\*[\s\S]*?\*\/|^\s*\/\/.*$/gm, ""),
    ] as const,
);

const outside = sources.filter(([path]) => !path.startsWith("platform/"));

function offenders(pattern: RegExp, among = outside): string[] {
  return among.filter(([, text]) => pattern.test(text)).map(([path]) => path);
}

it("sees the sources", () => {
  expect(sources.length).toBeGreaterThan(40);
  expect(offenders(/@tauri-apps/, sources)).toEqual(["platform/tauri.ts"]);
});

it("only src/platform knows its host", () => {
  expect(offenders(/@tauri-apps|__TAURI/)).toEqual([]);
  expect(offenders(/\bfetch\(|\bEventSource\b|XMLHttpRequest|WebSocket|sendBeacon/)).toEqual([]);
});

it("only src/platform keeps anything on this machine", () => {
  expect(offenders(/localStorage|sessionStorage|indexedDB|document\.cookie/)).toEqual([]);
});

it("nothing writes style elements or markup, which the content security policy would refuse", () => {
  expect(offenders(/dangerouslySetInnerHTML|innerHTML|<style/, sources)).toEqual([]);
  // Mantine's components and properties that write <style> elements.
  expect(
    offenders(/\b(SimpleGrid|Grid|AppShell|visibleFrom|hiddenFrom)\b.*@mantine\/core|visibleFrom=|hiddenFrom=/),
  ).toEqual([]);
  expect(offenders(/\b(w|h|p|m|px|py|pt|pb|mt|mb|gap|fz|cols|size)=\{\{\s*base:/)).toEqual([]);
});
