import { describe, expect, it } from "vitest";
import { formatBytes, formatNumber, formatRelative, formatSeconds } from "./formats";
import { preferredLanguage } from "./i18n";

/** Spaces of all kinds as one: which of them a language uses is not our business. */
const plain = (text: string) => text.replace(/\s/g, " ");

describe("durations", () => {
  it.each([
    ["en", "4.3 sec", "42 sec", "3 min 07 sec"],
    ["de", "4,3 Sek.", "42 Sek.", "3 Min. 07 Sek."],
    ["es", "4,3 s", "42 s", "3 min 07 s"],
    ["zh", "4.3秒", "42秒", "3分钟 07秒"],
  ])("are written as %s writes them", (language, exact, seconds, minutes) => {
    expect(plain(formatSeconds(language, 4.26, true))).toBe(exact);
    expect(plain(formatSeconds(language, 42.9))).toBe(seconds);
    expect(plain(formatSeconds(language, 187))).toBe(minutes);
  });

  it("leave out seconds that are none", () => {
    expect(plain(formatSeconds("en", 900))).toBe("15 min");
  });
});

describe("times", () => {
  const now = new Date("2026-11-30T12:00:00Z");
  it.each([
    ["en", "2026-11-30T11:57:10Z", "2 minutes ago"],
    ["de", "2026-11-30T15:00:00Z", "in 3 Stunden"],
    ["es", "2026-11-29T12:00:00Z", "ayer"],
    ["zh", "2026-11-30T11:59:30Z", "30秒钟前"],
    ["en", "2026-11-30T12:00:00Z", "now"],
  ])("in %s, %s is %s", (language, at, words) => {
    expect(plain(formatRelative(language, new Date(at), now))).toBe(words);
  });
});

it("numbers have the separators of their language", () => {
  expect(formatNumber("en", 1234567)).toBe("1,234,567");
  expect(formatNumber("de", 1234567)).toBe("1.234.567");
  expect(plain(formatBytes("de", 1_250_000))).toBe("1,3 MB");
  expect(plain(formatBytes("en", 999))).toBe("999 byte");
});

describe("the language", () => {
  it("is the one that was chosen", () => {
    expect(preferredLanguage("es", ["de-AT", "en"])).toBe("es");
  });

  it("else the first of the browser's that we have", () => {
    expect(preferredLanguage(null, ["fr-FR", "de-AT", "en"])).toBe("de");
    expect(preferredLanguage(null, ["zh-Hans-CN"])).toBe("zh");
  });

  it("else English", () => {
    expect(preferredLanguage("xx", ["fr"])).toBe("en");
  });
});
