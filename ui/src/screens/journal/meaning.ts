import type { Meaning } from "@/parts/Mark";
import type { JournalEntry } from "@/platform";

/** What a state means to somebody who looks at the list. */
export function stateMeaning(state: JournalEntry["state"]): Meaning {
  switch (state) {
    case "assigned":
      return "good";
    case "failed":
      return "bad";
    default:
      return "waiting";
  }
}

export type Fact = "yes" | "no" | "bad";

/** The three facts, which are never mixed: what the server gave, what the device acknowledged, what DPS said. */
export function threeFacts(entry: JournalEntry): { given: Fact; acknowledged: Fact; dps: Fact } {
  const failed = entry.deviceSaid?.phase === "failed";
  return {
    given: entry.given ? "yes" : "no",
    acknowledged: failed ? "bad" : entry.acknowledged.committedAt ? "yes" : "no",
    dps: entry.dpsSaid ? (entry.dpsSaid.status.toLowerCase() === "assigned" ? "yes" : "bad") : "no",
  };
}

/** The hub as the device said it, else as DPS did. */
export function hubOf(entry: JournalEntry): string | undefined {
  return entry.deviceSaid?.hub ?? entry.dpsSaid?.hub ?? undefined;
}

/** Device and DPS were both heard and name different hubs. */
export function hubsDiffer(entry: JournalEntry): boolean {
  const [device, dps] = [entry.deviceSaid?.hub, entry.dpsSaid?.hub];
  return Boolean(device && dps) && device?.toLowerCase() !== dps?.toLowerCase();
}

/** It ended, and the server has not been told how. */
export function isUntold(entry: JournalEntry): boolean {
  return entry.state === "open" && Boolean(entry.deviceSaid) && !entry.recordedAt;
}

export interface Happening {
  at: string;
  what:
    | "started"
    | "given"
    | "staged"
    | "committing"
    | "committed"
    | "deviceAssigned"
    | "deviceFailed"
    | "dps"
    | "recorded"
    | "error";
  meaning: Meaning;
}

/** Everything that has a time, in its order; what happened at the same moment stays in the order of a pairing. */
export function happenings(entry: JournalEntry): Happening[] {
  const { acknowledged: ack, deviceSaid, dpsSaid } = entry;
  const list: (Happening | null | undefined)[] = [
    { at: entry.startedAt, what: "started", meaning: "none" },
    entry.given && { at: entry.given.at, what: "given", meaning: "good" },
    ack.stagedAt ? { at: ack.stagedAt, what: "staged", meaning: "none" } : undefined,
    ack.committingAt && !ack.committedAt ? { at: ack.committingAt, what: "committing", meaning: "waiting" } : undefined,
    ack.committedAt ? { at: ack.committedAt, what: "committed", meaning: "good" } : undefined,
    deviceSaid &&
      (deviceSaid.phase === "failed"
        ? { at: deviceSaid.at, what: "deviceFailed", meaning: "bad" }
        : { at: deviceSaid.at, what: "deviceAssigned", meaning: "good" }),
    dpsSaid && { at: dpsSaid.at, what: "dps", meaning: dpsSaid.status.toLowerCase() === "assigned" ? "good" : "bad" },
    entry.recordedAt ? { at: entry.recordedAt, what: "recorded", meaning: "good" } : undefined,
    entry.error && { at: entry.error.at, what: "error", meaning: entry.error.code === "cancelled" ? "none" : "bad" },
  ];
  return list.filter((each) => each != null).sort((a, b) => Date.parse(a.at) - Date.parse(b.at));
}
