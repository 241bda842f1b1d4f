import { fileURLToPath } from "node:url";
import { convertCssVariables, DEFAULT_THEME, mergeMantineTheme } from "@mantine/core";
import react from "@vitejs/plugin-react";
import { defineConfig, type Plugin } from "vite";
import { theme, variables } from "./src/theme/theme.ts";

/**
 * The theme's CSS variables as a style sheet. Mantine would write them into a <style> element at run time, which the
 * content security policy (`style-src 'self'`, no nonce) does not let it do.
 */
function themeVariables(): Plugin {
  const name = "virtual:theme-variables.css";
  return {
    name: "theme-variables",
    resolveId: (id) => (id === name ? `\0${name}` : undefined),
    load: (id) =>
      id === `\0${name}` ? convertCssVariables(variables(mergeMantineTheme(DEFAULT_THEME, theme)), ":root") : undefined,
  };
}

export default defineConfig({
  plugins: [react(), themeVariables()],
  resolve: { alias: { "@": fileURLToPath(new URL("./src", import.meta.url)) } },
  build: {
    target: "es2022",
    // A file is a file: the policy allows no data: in scripts and styles.
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
    sourcemap: false,
    manifest: true,
  },
  server: {
    // `npm run dev` beside a running `lowtouch serve`: LOWTOUCH_SERVE=https://127.0.0.1:8443 npm run dev
    proxy: process.env.LOWTOUCH_SERVE
      ? { "/api": { target: process.env.LOWTOUCH_SERVE, secure: false, changeOrigin: true } }
      : undefined,
  },
  test: {
    environment: "happy-dom",
    include: ["src/**/*.test.{ts,tsx}"],
    setupFiles: ["src/test-setup.ts"],
  },
} as Parameters<typeof defineConfig>[0]);
