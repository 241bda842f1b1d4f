import "i18next";
import type accounts from "../locales/en/accounts.json";
import type bench from "../locales/en/bench.json";
import type codes from "../locales/en/codes.json";
import type common from "../locales/en/common.json";
import type doctor from "../locales/en/doctor.json";
import type journal from "../locales/en/journal.json";
import type orders from "../locales/en/orders.json";
import type pair from "../locales/en/pair.json";
import type scanner from "../locales/en/scanner.json";
import type settings from "../locales/en/settings.json";
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
      scanner: typeof scanner;
      welcome: typeof welcome;
      codes: typeof codes;
      settings: typeof settings;
      orders: typeof orders;
      journal: typeof journal;
      doctor: typeof doctor;
      accounts: typeof accounts;
      // Of other screens: not checked by the compiler, but by src/locales/locales.test.ts.
      [other: string]: Record<string, unknown>;
    };
    returnNull: false;
  }
}
