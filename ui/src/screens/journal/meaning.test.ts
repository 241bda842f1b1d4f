import { describe, expect, it } from "vitest";
import type { JournalEntry } from "@/platform";
import { happenings, hubOf, hubsDiffer, isUntold, threeFacts } from "./meaning";

const begun: JournalEntry = {
  handoffId: "01920000-7b3c-7def-8a11-5b6c7d8e9f00",
  name: "pump-001",
  link: "ble://",
  startedAt: "2026-11-30T10:00:00Z",
  updatedAt: "2026-11-30T10:00:00Z",
  runs: 1,
  state: "open",
  acknowledged: {},
};
const given: JournalEntry = {
  ...begun,
  given: {
    at: "2026-11-30T10:00:05Z",
    dpsInstance: "dps-1",
    idScope: "0ne1",
    globalDeviceEndpoint: "global.example.net",
    attestation: "x509",
  },
};
const assigned: JournalEntry = {
  ...given,
  acknowledged: { stagedAt: "2026-11-30T10:00:06Z", committedAt: "2026-11-30T10:00:07Z" },
  deviceSaid: { at: "2026-11-30T10:00:20Z", phase: "assigned", hub: "one.example.net" },
};

describe("the three facts", () => {
  it("are all open when a pairing has only begun", () => {
    expect(threeFacts(begun)).toEqual({ given: "no", acknowledged: "no", dps: "no" });
  });

  it("are known one by one: what the device acknowledged says nothing of DPS", () => {
    expect(threeFacts(given)).toEqual({ given: "yes", acknowledged: "no", dps: "no" });
    expect(threeFacts(assigned)).toEqual({ given: "yes", acknowledged: "yes", dps: "no" });
  });

  it("tell a device that refused from one that has not been asked", () => {
    const refused: JournalEntry = { ...assigned, deviceSaid: { at: begun.startedAt, phase: "failed" } };
    expect(threeFacts(refused).acknowledged).toBe("bad");
  });

  it("take DPS's status however it is spelled", () => {
    const at = begun.startedAt;
    expect(threeFacts({ ...assigned, dpsSaid: { at, status: "Assigned" } }).dps).toBe("yes");
    expect(threeFacts({ ...assigned, dpsSaid: { at, status: "disabled" } }).dps).toBe("bad");
  });
});

describe("the hub", () => {
  it("is the device's own word, else DPS's", () => {
    const at = begun.startedAt;
    expect(hubOf(begun)).toBeUndefined();
    expect(hubOf({ ...begun, dpsSaid: { at, status: "assigned", hub: "two.example.net" } })).toBe("two.example.net");
    expect(hubOf({ ...assigned, dpsSaid: { at, status: "assigned", hub: "two.example.net" } })).toBe("one.example.net");
  });

  it("differs only where both named one, and not by upper and lower case", () => {
    const at = begun.startedAt;
    expect(hubsDiffer(assigned)).toBe(false);
    expect(hubsDiffer({ ...assigned, dpsSaid: { at, status: "assigned", hub: "ONE.example.net" } })).toBe(false);
    expect(hubsDiffer({ ...assigned, dpsSaid: { at, status: "assigned", hub: "two.example.net" } })).toBe(true);
  });
});

describe("a pairing that ended", () => {
  it("is untold until the server knows", () => {
    expect(isUntold(begun)).toBe(false);
    expect(isUntold(assigned)).toBe(true);
    expect(isUntold({ ...assigned, state: "assigned", recordedAt: begun.startedAt })).toBe(false);
  });
});

describe("the time line", () => {
  it("is in the order of time, whatever the order of the facts", () => {
    const entry: JournalEntry = { ...assigned, error: { at: "2026-11-30T10:00:10Z", code: "link-lost" } };
    expect(happenings(entry).map(({ what }) => what)).toEqual([
      "started",
      "given",
      "staged",
      "committed",
      "error",
      "deviceAssigned",
    ]);
  });

  it("shows a commit that was on its way only while nobody knows whether it arrived", () => {
    const committing: JournalEntry = { ...given, acknowledged: { committingAt: "2026-11-30T10:00:07Z" } };
    expect(happenings(committing).map(({ what }) => what)).toContain("committing");
    const done: JournalEntry = {
      ...committing,
      acknowledged: { ...committing.acknowledged, committedAt: begun.startedAt },
    };
    expect(happenings(done).map(({ what }) => what)).not.toContain("committing");
  });
});
