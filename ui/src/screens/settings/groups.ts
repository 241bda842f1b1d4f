import type { CommandError, SettingProblem, SettingSeen, SettingsPage } from "@/platform";

export type Group = "server" | "secrets" | "devices" | "program" | "other";

const GROUPS: Record<string, Group> = {
  api: "server",
  "ca-files": "server",
  proxy: "server",
  "proxy-user": "server",
  "proxy-password": "server",
  secrets: "secrets",
  "global-device-endpoint": "devices",
  "id-scope": "devices",
  log: "program",
};

/** Settings by group, in the core's order; a key that is newer than this page is in the last one. */
export function grouped(settings: SettingSeen[]): [Group, SettingSeen[]][] {
  const order: Group[] = ["server", "secrets", "devices", "program", "other"];
  return order
    .map((group): [Group, SettingSeen[]] => [group, settings.filter(({ key }) => (GROUPS[key] ?? "other") === group)])
    .filter(([, those]) => those.length > 0);
}

/** What is wrong with the file as a whole, or with a key that there is not: no row of a setting shows it. */
export function problemsOfNoRow(page: SettingsPage): SettingProblem[] {
  return page.problems.filter(({ key }) => !page.settings.some((setting) => setting.key === key));
}

/** A problem as every failure is shown; its detail, for support, in the core's own English. */
export function asFailure(setting: SettingProblem): CommandError {
  const { code, what, mend } = setting;
  return { code, action: "check-settings", hint: "", detail: `${what}. ${mend}`, setting };
}

/** The few words that a value may be, where it is one of them and nothing else. */
export function choices(setting: SettingSeen): string[] | undefined {
  const words = setting.looks.split(",").map((word) => word.trim());
  return words.length > 1 && words.every((word) => /^[a-z]+$/.test(word)) ? words : undefined;
}

/** What is in the way of changing it here: an environment variable or an option stands above the file. */
export function standsAbove(setting: SettingSeen): string | undefined {
  return setting.source.from === "environment" || setting.source.from === "flag" ? setting.source.name : undefined;
}

export function valuesOf(setting: SettingSeen): string[] {
  if (setting.secret || setting.source.from === "default" || setting.value === undefined) return [];
  return Array.isArray(setting.value) ? setting.value : [setting.value];
}
