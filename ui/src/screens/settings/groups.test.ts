import { expect, it } from "vitest";
import type { SettingProblem, SettingSeen } from "@/platform";
import { asFailure, choices, grouped, problemsOfNoRow, standsAbove, valuesOf } from "./groups";

const setting = (key: string, more: Partial<SettingSeen> = {}): SettingSeen => ({
  key,
  about: "",
  looks: "text",
  list: false,
  secret: false,
  source: { from: "default" },
  ...more,
});

it("a key that is newer than this page is shown, in a group of its own", () => {
  const groups = grouped([setting("log"), setting("brand-new"), setting("api")]);
  expect(groups.map(([group, those]) => [group, those.map(({ key }) => key)])).toEqual([
    ["server", ["api"]],
    ["program", ["log"]],
    ["other", ["brand-new"]],
  ]);
});

it("only a setting that takes a few words and nothing else is a choice", () => {
  expect(choices(setting("secrets", { looks: "keyring, file" }))).toEqual(["keyring", "file"]);
  expect(choices(setting("proxy", { looks: "system, none, http://HOST:PORT" }))).toBeUndefined();
  expect(choices(setting("log", { looks: "level or filter" }))).toBeUndefined();
  expect(choices(setting("proxy-user", { looks: "text" }))).toBeUndefined();
});

it("what stands above the file cannot be changed here", () => {
  expect(standsAbove(setting("api", { source: { from: "environment", name: "LOWTOUCH_API" } }))).toBe("LOWTOUCH_API");
  expect(standsAbove(setting("api", { source: { from: "file", path: "/x", line: 1 } }))).toBeUndefined();
});

it("editing begins with what the file has, not with the default", () => {
  expect(valuesOf(setting("proxy", { value: "system", default: "system" }))).toEqual([]);
  const file = { from: "file", path: "/x", line: 1 } as const;
  expect(valuesOf(setting("ca-files", { list: true, value: ["a", "b"], source: file }))).toEqual(["a", "b"]);
});

it("a secret is never what editing begins with", () => {
  expect(valuesOf(setting("proxy-password", { secret: true, value: "leaked" }))).toEqual([]);
});

it("a problem of a key that there is not is shown beside the rows, and one of a row only there", () => {
  const source = { from: "file", path: "/x", line: 2 } as const;
  const unknown: SettingProblem = {
    code: "settings-unknown-key",
    key: "apy",
    problem: { wrong: "unknown-key", nearest: "api", all: ["api"] },
    what: "there is no such key",
    mend: "Did you mean api?",
    source,
  };
  const known: SettingProblem = { ...unknown, code: "api-not-https", key: "api", problem: { wrong: "not-https" } };
  const page = { file: "/x", settings: [setting("api", { problem: known })], problems: [unknown, known] };
  expect(problemsOfNoRow(page)).toEqual([unknown]);
  expect(asFailure(unknown)).toMatchObject({
    code: "settings-unknown-key",
    detail: "there is no such key. Did you mean api?",
  });
});
