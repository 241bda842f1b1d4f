/// <reference types="node" />
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";

const SRC = join(import.meta.dirname, "..");
const LOCALES = import.meta.dirname;
const CORE = join(SRC, "../../core/installer/src");
const PHONE = join(SRC, "../../bindings/android/sample/src/main/kotlin/io/lowtouch/sample/Words.kt");

const LANGUAGES = ["en", "de", "es", "zh"];
const PLURAL = /_(zero|one|two|few|many|other)$/;
/** Read by the desktop app's build alone: menus and tray. */
const MENU = "menu";
/** Of the codes: said by the phones' sample apps alone. The page has steps of its own words. */
const PHONES = ["codes:steps", "codes:waitingFor", "codes:retryReasons"];
/** Failures between page and host: no code of the core, and said like one. */
const CODES_OF_THE_PAGE = ["host-unreachable", "host-answer-invalid"];

type Words = Map<string, string>;

function flatten(value: unknown, path: string, into: Words): Words {
  if (typeof value === "string") into.set(path, value);
  else for (const [key, inner] of Object.entries(value as object)) flatten(inner, path ? `${path}.${key}` : key, into);
  return into;
}

function namespaces(language: string): string[] {
  return readdirSync(join(LOCALES, language))
    .filter((file) => file.endsWith(".json"))
    .map((file) => file.slice(0, -".json".length))
    .sort();
}

/** All texts of a language by `namespace:key`. */
function wordsOf(language: string): Words {
  const all: Words = new Map();
  for (const namespace of namespaces(language)) {
    const json: unknown = JSON.parse(readFileSync(join(LOCALES, language, `${namespace}.json`), "utf8"));
    for (const [key, text] of flatten(json, "", new Map())) all.set(`${namespace}:${key}`, text);
  }
  return all;
}

const words = new Map(LANGUAGES.map((language) => [language, wordsOf(language)]));
const of = (language: string) => words.get(language) ?? new Map<string, string>();
const bare = (key: string) => key.replace(PLURAL, "");
const baseKeys = (language: string) => new Set([...of(language).keys()].map(bare));
const placeholders = (text: string) =>
  [...new Set([...text.matchAll(/{{\s*(\w+)/g)].map((match) => match[1] ?? ""))].sort();

function sources(folder = SRC): string[] {
  return readdirSync(folder, { withFileTypes: true, recursive: true })
    .filter((entry) => entry.isFile() && /\.tsx?$/.test(entry.name) && !/\.test\.tsx?$/.test(entry.name))
    .map((entry) => join(entry.parentPath, entry.name))
    .filter((file) => !file.endsWith("generated.ts"));
}

/** A key as the source writes it; `*` (in the source `${…}`) stands for one part of a key, and a key for all that is below it. */
interface Use {
  file: string;
  key: string;
  pattern: RegExp;
}

/** The literals that a first argument can be: itself, or the branches of its conditions. */
function literalsOf(argument: string): string[] {
  const literals: string[] = [];
  const token = /\s*(?:"([^"]*)"|'([^']*)'|`([^`]*)`|([?:,()])|([^\s"'`?:,()]+))/y;
  let depth = 0;
  let branch = true;
  for (let match = token.exec(argument); match; match = token.exec(argument)) {
    const [, double, single, template, sign] = match;
    const literal = double ?? single ?? template;
    if (literal !== undefined && branch) literals.push(literal);
    if (sign === "(") depth += 1;
    if (sign === ")" && --depth < 0) break;
    if (sign === "," && depth === 0) break;
    branch = sign === "?" || sign === ":";
  }
  return literals;
}

function uses(): Use[] {
  const found: Use[] = [];
  for (const file of sources()) {
    const text = readFileSync(file, "utf8");
    const asked = [...text.matchAll(/useTranslation\(([^)]*)\)/g)].map((match) => match[1] ?? "");
    const ownNamespaces = asked.flatMap((list) => [...list.matchAll(/["']([\w-]+)["']/g)].map((name) => name[1] ?? ""));
    if (asked.length === 0 || asked.includes("")) ownNamespaces.push("common");
    const add = (written: string) => {
      // A key that is put together elsewhere is found there, where its namespace is written.
      if (/^\*(\.|$)/.test(written)) return;
      const keys = written.includes(":") ? [written] : ownNamespaces.map((namespace) => `${namespace}:${written}`);
      const pattern = keys.map((key) => key.replace(/[.+?^${}()|[\]\\]/g, "\\$&").replaceAll("*", "[^.]+")).join("|");
      found.push({ file: file.slice(SRC.length + 1), key: written, pattern: new RegExp(`^(?:${pattern})(?:\\.|$)`) });
    };
    const plain = text.replace(/\$\{(?:[^{}]|\{[^{}]*\})*\}/g, "*");
    for (const call of plain.matchAll(/(?:\bt\(|i18nKey=\{?)\s*/g)) {
      for (const literal of literalsOf(plain.slice(call.index + call[0].length))) add(literal);
    }
    // Calls within templates, which are a `*` there.
    for (const match of text.matchAll(/\$\{[^{}]*\bt\(\s*"([^"]+)"/g)) add(match[1] ?? "");
    // Tables of keys, which name their namespace.
    for (const match of plain.matchAll(/["'`]((?:[a-z]+):[\w.*-]+)["'`]/g)) {
      if (namespaces("en").includes((match[1] ?? "").split(":")[0] ?? "")) add(match[1] ?? "");
    }
  }
  return found;
}

/** The texts of a union of string literals in generated.ts. */
function union(name: string): string[] {
  const text = readFileSync(join(SRC, "platform/generated.ts"), "utf8");
  const declaration = new RegExp(`export type ${name} =([^;]+);`).exec(text)?.[1] ?? "";
  return [...declaration.matchAll(/"([^"]+)"/g)].map((match) => match[1] ?? "");
}

/** Groups of `codes` and the types of the core whose texts they word. */
const TABLES: [group: string, type: string][] = [
  ["actions", "Action"],
  ["steps", "Step"],
  ["waitingFor", "WaitingFor"],
  ["phases", "DevicePhase"],
  ["networkStates", "NetworkState"],
  ["retryReasons", "Reason"],
  ["circuits", "CircuitState"],
  ["topics", "Topic"],
  ["roles", "Role"],
  ["attestations", "Attestation"],
];

/** What a pairing can warn of. */
function warnings(): string[] {
  const text = readFileSync(join(SRC, "platform/generated.ts"), "utf8");
  const all = [...text.matchAll(/"warning": "([a-z-]+)"/g)].map((match) => match[1] ?? "");
  return all.filter((name) => name !== "warning");
}

/** The first texts of a table of codes in the core, as `Variant = "code", …` writes them. */
function codesOf(file: string): string[] {
  const text = readFileSync(join(CORE, file), "utf8");
  return [...text.matchAll(/^ {4}[A-Z]\w+ = "([a-z0-9-]+)",/gm)].map((match) => match[1] ?? "");
}

/** The kinds that a tagged type of generated.ts can be. */
function kindsOf(type: string, tag: string): string[] {
  const text = readFileSync(join(SRC, "platform/generated.ts"), "utf8");
  const declaration = new RegExp(`export type ${type} =(.+?);\n`, "s").exec(text)?.[1] ?? "";
  return [...declaration.matchAll(new RegExp(`"${tag}": "([a-z0-9-]+)"`, "g"))].map((match) => match[1] ?? "");
}

function lacking(language: string, prefix: string, codes: string[], part = ""): string[] {
  const keys = baseKeys(language);
  return codes.map((code) => `codes:${prefix}.${code}${part}`).filter((key) => !keys.has(key));
}

describe.each(LANGUAGES)("the words in %s", (language) => {
  it("are of the same namespaces and keys as English", () => {
    expect(namespaces(language)).toEqual(namespaces("en"));
    expect([...baseKeys(language)].sort()).toEqual([...baseKeys("en")].sort());
  });

  it("have every plural form of the language and no other", () => {
    const wanted = [...new Intl.PluralRules(language).resolvedOptions().pluralCategories].sort();
    const forms = new Map<string, string[]>();
    for (const key of of(language).keys()) {
      const form = PLURAL.exec(key)?.[1];
      if (form) forms.set(bare(key), [...(forms.get(bare(key)) ?? []), form].sort());
    }
    for (const [key, has] of forms) {
      // Besides, i18next takes "zero" in every language.
      expect({ key, has: has.filter((form) => form !== "zero") }).toEqual({ key, has: wanted });
    }
    const plural = new Set([...of("en").keys()].filter((key) => PLURAL.test(key)).map(bare));
    expect([...forms.keys()].sort()).toEqual([...plural].sort());
  });

  it("fill in what English fills in", () => {
    const english = new Map([...of("en")].map(([key, text]) => [bare(key), placeholders(text)]));
    for (const [key, text] of of(language)) {
      const wanted = english.get(bare(key)) ?? [];
      const has = placeholders(text);
      // "none" and "one" may be words.
      const missing = wanted.filter((name) => !has.includes(name) && !(name === "count" && /_(zero|one)$/.test(key)));
      expect({ key, missing, more: has.filter((name) => !wanted.includes(name)) }).toEqual({
        key,
        missing: [],
        more: [],
      });
    }
  });

  it("write counts as the language writes numbers", () => {
    // The phones, and the desktop app's build, take the bare name.
    const page = [...of(language)].filter(([key]) => !key.startsWith("codes:") && !key.startsWith(`${MENU}:`));
    expect(page.filter(([, text]) => /{{\s*(count|done|bytes)\s*}}/.test(text)).map(([key]) => key)).toEqual([]);
  });

  it("are there for every code that the core can say", () => {
    const codes = [...union("ErrorCode"), ...CODES_OF_THE_PAGE];
    expect(codes.length).toBeGreaterThan(140);
    expect(lacking(language, "errors", codes, ".title")).toEqual([]);
    expect(lacking(language, "errors", codes, ".text")).toEqual([]);
    const findings = [...codesOf("doctor/finding.rs"), "not-in-time"];
    expect(findings.length).toBeGreaterThan(55);
    expect(lacking(language, "findings", findings, ".text")).toEqual([]);
  });

  it("are there for every action, step, state, role and warning of the core", () => {
    for (const [prefix, type] of TABLES) {
      expect(union(type), type).not.toEqual([]);
      expect(lacking(language, prefix, union(type))).toEqual([]);
    }
    expect(warnings().length).toBeGreaterThan(10);
    expect(lacking(language, "warnings", warnings())).toEqual([]);
  });

  it("are there for everything that the doctor can see, and for all that can be wrong with a setting", () => {
    const keys = [...baseKeys(language)];
    const has = (key: string) => keys.some((known) => known === key || known.startsWith(`${key}.`));
    // Worded by the error's own code.
    const seen = kindsOf("Seen", "seen").filter((kind) => kind !== "error");
    // Worded by which way a clock is off, and by whether an end, a version or the room is known.
    const worded = seen.map((kind) => (kind === "clock" ? "clockAhead" : kind));
    expect(seen.length).toBeGreaterThan(25);
    expect(worded.map((kind) => `doctor:seenAs.${kind}`).filter((key) => !has(key))).toEqual([]);
    const adapters = readFileSync(join(CORE, "../../links/src/ble/problem.rs"), "utf8");
    const reasons = [...adapters.matchAll(/=> "([a-z-]+)",/g)].map((match) => `doctor:seenAs.no-adapter.${match[1]}`);
    expect(reasons.length).toBeGreaterThan(4);
    const ports = union("PortState").map((state) => `doctor:seenAs.port.${state}`);
    expect([...reasons, ...ports].filter((key) => !has(key))).toEqual([]);
    const wrong = kindsOf("SettingWrong", "wrong").map((kind) => `settings:problems.${kind}`);
    expect(wrong.length).toBeGreaterThan(30);
    expect(wrong.filter((key) => !has(key))).toEqual([]);
    expect(keys.filter((key) => key.startsWith("settings:problems.") && !wrong.includes(key))).toEqual([]);
  });

  it("are there for all that a bundle can lack, and for what is in the way of a port", () => {
    const keys = [...baseKeys(language)];
    const lackingOf = (group: string, kinds: string[]) => kinds.filter((kind) => !keys.includes(`${group}.${kind}`));
    const leftOut = kindsOf("LeftOut", "what");
    expect(leftOut.length).toBeGreaterThan(7);
    expect(lackingOf("doctor:bundle.out", leftOut)).toEqual([]);
    const usable = kindsOf("Usable", "state");
    expect(lackingOf("pair:nearby.usable", usable)).toEqual(["ready"]);
  });

  it("have no word for a code that there is not", () => {
    const said = new Map([
      ...TABLES.map(([group, type]): [string, string[]] => [group, union(type)]),
      ["errors", [...union("ErrorCode"), ...CODES_OF_THE_PAGE]],
      ["findings", [...codesOf("doctor/finding.rs"), "not-in-time"]],
      ["warnings", warnings()],
    ]);
    const unsaid = [...baseKeys(language)].filter((key) => {
      const [, group = "", code = ""] = /^codes:(\w+)\.([^.]+)/.exec(key) ?? [];
      return said.get(group)?.includes(code) === false;
    });
    expect(unsaid).toEqual([]);
  });

  it("do not shout, beg or say oops", () => {
    for (const [key, text] of of(language)) {
      expect(text.trim(), key).toBe(text);
      expect(text, key).not.toMatch(/[!！¡]|\bplease\b|\boops\b|\bbitte\b|\bpor favor\b|请您|抱歉/i);
    }
  });
});

describe("the source", () => {
  const keys = baseKeys("en");
  const all = uses();

  it("uses no key that there is not", () => {
    const missing = all.filter((use) => ![...keys].some((key) => use.pattern.test(key)));
    expect(missing.map((use) => `${use.file}: ${use.key}`)).toEqual([]);
  });

  it("uses every key that there is", () => {
    const unused = [...keys].filter(
      (key) =>
        !key.startsWith(`${MENU}:`) &&
        !PHONES.some((group) => key.startsWith(`${group}.`)) &&
        !all.some((use) => use.pattern.test(key)),
    );
    expect(unused).toEqual([]);
  });

  it("leaves to the phones what they do say", () => {
    const said = readFileSync(PHONE, "utf8");
    expect(PHONES.filter((group) => !said.includes(`"${group.replace(":", "_")}"`))).toEqual([]);
  });

  it("asks for every namespace that it uses, so that no key is shown while it is not loaded", () => {
    const loaded = new Set(["common", "shell"]);
    const lacking = sources().flatMap((file) => {
      const text = readFileSync(file, "utf8");
      const asked = [...text.matchAll(/useTranslation\(([^)]*)\)/g)].map((match) => match[1] ?? "").join();
      return namespaces("en")
        .filter((name) => new RegExp(`["'\`]${name}:`).test(text) && !loaded.has(name) && !asked.includes(`"${name}"`))
        .map((name) => `${file.slice(SRC.length + 1)}: ${name}`);
    });
    expect(lacking).toEqual([]);
  });
});
