import { type CSSVariablesResolver, createTheme, defaultCssVariablesResolver } from "@mantine/core";
import { colors } from "./colors.ts";

/** The scales of shared UI rules: sizes 12/14/16/20/28, spacing 4/8/12/16/24/40 (`xxs` is the 4). */
export const theme = createTheme({
  colors,
  primaryColor: "accent",
  primaryShade: { light: 7, dark: 7 },
  white: "#ffffff",
  black: "#141a21",
  autoContrast: false,
  fontFamily: 'system-ui, -apple-system, "Segoe UI", Roboto, "Noto Sans", "Noto Sans SC", "PingFang SC", sans-serif',
  fontFamilyMonospace: 'ui-monospace, "SF Mono", "Cascadia Mono", "Roboto Mono", "Noto Sans Mono", monospace',
  fontSizes: { xs: "0.75rem", sm: "0.875rem", md: "1rem", lg: "1.25rem", xl: "1.75rem" },
  lineHeights: { xs: "1.35", sm: "1.45", md: "1.5", lg: "1.35", xl: "1.2" },
  spacing: { xxs: "0.25rem", xs: "0.5rem", sm: "0.75rem", md: "1rem", lg: "1.5rem", xl: "2.5rem" },
  radius: { xs: "2px", sm: "4px", md: "6px", lg: "10px", xl: "16px" },
  defaultRadius: "md",
  headings: {
    fontWeight: "600",
    sizes: {
      h1: { fontSize: "1.75rem", lineHeight: "1.2" },
      h2: { fontSize: "1.25rem", lineHeight: "1.35" },
      h3: { fontSize: "1rem", lineHeight: "1.5" },
      h4: { fontSize: "0.875rem", lineHeight: "1.45" },
    },
  },
  cursorType: "pointer",
  focusRing: "auto",
  respectReducedMotion: true,
  // By name, not by `Modal.extend(…)`: that would put every one of them into the first download.
  components: {
    // Locking the scroll writes a <style> element, which the page's policy does not let anything do.
    Modal: { defaultProps: { lockScroll: false, transitionProps: { duration: 150 } } },
    Drawer: { defaultProps: { lockScroll: false, transitionProps: { duration: 150 } } },
    Popover: { defaultProps: { transitionProps: { duration: 120 } } },
    Tooltip: { defaultProps: { openDelay: 300, events: { hover: true, focus: true, touch: true } } },
    Select: { defaultProps: { allowDeselect: false } },
    ActionIcon: { defaultProps: { variant: "subtle", color: "gray" } },
  },
});

/** Mantine's variables and ours; vite.config.ts writes them into a style sheet. */
export const variables: CSSVariablesResolver = (theme) => {
  const base = defaultCssVariablesResolver(theme);
  return {
    variables: { ...ours(base.variables), "--lt-column": "36rem", "--lt-motion": "160ms" },
    light: {
      ...ours(base.light),
      "--mantine-color-body": colors.gray[0],
      "--mantine-color-dimmed": colors.gray[6],
      "--mantine-color-placeholder": colors.gray[6],
      "--mantine-color-error": colors.red[7],
      "--lt-surface": theme.white,
      "--lt-sunken": colors.gray[1],
      "--lt-line": colors.gray[3],
      "--lt-field": colors.gray[5],
      "--lt-good": colors.green[7],
      "--lt-good-ground": colors.green[0],
      "--lt-warn": colors.amber[8],
      "--lt-warn-ground": colors.amber[0],
      "--lt-bad": colors.red[7],
      "--lt-bad-ground": colors.red[0],
      "--lt-accent": colors.accent[7],
      "--lt-accent-ground": colors.accent[0],
    },
    dark: {
      ...ours(base.dark),
      "--mantine-color-body": colors.dark[8],
      "--mantine-color-text": colors.dark[0],
      "--mantine-color-dimmed": colors.dark[2],
      "--mantine-color-placeholder": colors.dark[2],
      "--mantine-color-error": colors.red[4],
      "--lt-surface": colors.dark[7],
      "--lt-sunken": colors.dark[9],
      "--lt-line": colors.dark[5],
      "--lt-field": colors.dark[3],
      "--lt-good": colors.green[4],
      "--lt-good-ground": "#12291c",
      "--lt-warn": colors.amber[4],
      "--lt-warn-ground": "#2c2210",
      "--lt-bad": colors.red[4],
      "--lt-bad-ground": "#331a1a",
      "--lt-accent": colors.accent[3],
      "--lt-accent-ground": "#152338",
    },
  };
};

/** Mantine's other palettes, which nothing here uses: 20 kB of variables. */
const UNUSED = /^--mantine-color-(pink|grape|violet|indigo|blue|cyan|teal|lime|yellow|orange)-/;

function ours(variables: Record<string, string>): Record<string, string> {
  return Object.fromEntries(Object.entries(variables).filter(([name]) => !UNUSED.test(name)));
}
