import "i18next";
import type bench from "../locales/en/bench.json";
import type codes from "../locales/en/codes.json";
import type common from "../locales/en/common.json";
import type pair from "../locales/en/pair.json";
import type shell from "../locales/en/shell.json";
import type welcome from "../locales/en/welcome.json";

declare module "i18next" {
  interface CustomTypeOptions {
    defaultNS: "common";
    resources: {
      common: typeof common;
      shell: typeof shell;
      pair: typeof pair;
      bench: typeof bench;
      welcome: typeof welcome;
      codes: typeof codes;
      // Of other screens: not checked by the compiler, but by src/locales/locales.test.ts.
      [other: string]: Record<string, unknown>;
    };
    returnNull: false;
  }
}
