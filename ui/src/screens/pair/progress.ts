import type { CommandError, PairingEvent, Step, WaitingFor } from "@/platform";

type Told<E> = Extract<PairingEvent, { event: E }>;
export type Paired = Told<"finished">;
export type NetworkSet = Told<"network-finished">;
export type Warning = Told<"warning">;

/** The steps of a pairing in their order; the network step is shown only where a device takes it. */
export const STEPS: readonly Step[] = [
  "discover",
  "connect",
  "secure",
  "identify",
  "allocate",
  "network",
  "hand-off",
  "confirm",
  "record",
];

/** What a running step tells beside its name. */
export type Note =
  | { kind: "searching"; heard: number }
  | { kind: "found"; rssi?: number }
  | { kind: "retrying"; code: string; until: number }
  | { kind: "offline"; until: number }
  | { kind: "circuit"; until?: number }
  | { kind: "slot"; until: number }
  | { kind: "network"; state: string }
  | { kind: "status"; phase: string; attempts: number }
  | { kind: "reconnecting"; attempt: number };

export interface StepLine {
  step: Step;
  state: "next" | "active" | "done" | "failed";
  /** By this page's clock, milliseconds. */
  startedAt?: number;
  /** When this page heard of that. */
  heardAt?: number;
  waitingFor?: WaitingFor;
  deadlineS?: number;
  /** How long it took. */
  seconds?: number;
  note?: Note;
}

/** What is shown behind "Details": name (a key of the words) and value. */
export interface Fact {
  name:
    | "handoffId"
    | "link"
    | "address"
    | "registrationId"
    | "model"
    | "firmware"
    | "security"
    | "dpsInstance"
    | "idScope"
    | "globalDeviceEndpoint"
    | "attestation"
    | "digest"
    | "order"
    | "deviceId"
    | "substatus"
    | "ip"
    | "roundTrips"
    | "bytes";
  value: string;
}

export type End =
  | { kind: "finished"; paired: Paired }
  | { kind: "network"; set: NetworkSet }
  /** `at`: by this page's clock, milliseconds. */
  | { kind: "failed"; error: CommandError; at: number };

/** A pairing as its events tell it. */
export interface Progress {
  name?: string;
  link?: string;
  resumed: boolean;
  steps: readonly StepLine[];
  warnings: readonly Warning[];
  facts: readonly Fact[];
  end?: End;
  /** When it began, by this page's clock. */
  startedAt: number;
  /** Seconds of the steps that are done. */
  spent: number;
}

export function begin(startedAt: number): Progress {
  return {
    resumed: false,
    steps: STEPS.filter((step) => step !== "network").map((step) => ({ step, state: "next" })),
    warnings: [],
    facts: [],
    startedAt,
    spent: 0,
  };
}

/** The step that runs. */
export function active(progress: Progress): StepLine | undefined {
  return progress.steps.find((line) => line.state === "active");
}

/**
 * One event further. `now` is this page's clock: events carry no time, so that a step of a replayed pairing is taken to
 * have begun when the steps before it had ended.
 */
export function reduce(progress: Progress, event: PairingEvent, now: number): Progress {
  const noted = (note: Note | undefined, step?: Step): Progress => ({
    ...progress,
    steps: progress.steps.map((line) =>
      (step ? line.step === step : line.state === "active") ? { ...line, note } : line,
    ),
  });
  const knowing = (base: Progress, ...facts: (Fact | undefined)[]): Progress => {
    const fresh = facts.filter((fact): fact is Fact => fact !== undefined && fact.value !== "");
    const names = new Set(fresh.map((fact) => fact.name));
    return { ...base, facts: [...base.facts.filter((fact) => !names.has(fact.name)), ...fresh] };
  };

  switch (event.event) {
    case "started":
      return knowing(
        { ...progress, name: event.name, link: event.link, resumed: event.resumed },
        { name: "link", value: event.link },
        { name: "handoffId", value: event.handoffId },
      );
    case "step-started": {
      const line: StepLine = {
        step: event.step,
        state: "active",
        startedAt: Math.min(now, Math.max(progress.startedAt + progress.spent * 1000, now - event.deadlineS * 1000)),
        heardAt: now,
        waitingFor: event.waitingFor,
        deadlineS: Number(event.deadlineS),
      };
      const order = STEPS.indexOf(event.step);
      const others = progress.steps.filter((other) => other.step !== event.step);
      const at = others.findIndex((other) => STEPS.indexOf(other.step) > order);
      const before = at < 0 ? others : others.slice(0, at);
      return { ...progress, steps: [...before, line, ...(at < 0 ? [] : others.slice(at))] };
    }
    case "step-done":
      return {
        ...progress,
        spent: progress.spent + event.seconds,
        steps: progress.steps.map((line) =>
          line.step === event.step ? { ...line, state: "done", seconds: event.seconds, note: undefined } : line,
        ),
      };
    case "searching":
      return noted({ kind: "searching", heard: event.heard });
    case "device-found":
      return knowing(noted({ kind: "found", rssi: event.rssi ?? undefined }), {
        name: "address",
        value: event.address,
      });
    case "retrying":
      return noted({ kind: "retrying", code: event.code, until: now + Number(event.afterMs) }, event.step);
    case "offline":
      return noted({ kind: "offline", until: now + Number(event.atMostS) * 1000 }, event.step);
    case "online":
      return noted(undefined, event.step);
    case "circuit":
      return noted(
        event.state === "open"
          ? { kind: "circuit", until: event.againInMs === undefined ? undefined : now + Number(event.againInMs) }
          : undefined,
        event.step,
      );
    case "secured":
      return knowing(progress, { name: "security", value: String(event.security) });
    case "device-identified":
      return knowing(
        progress,
        { name: "registrationId", value: event.registrationId },
        { name: "model", value: event.model },
        { name: "firmware", value: event.firmware },
      );
    case "allocated":
      return knowing(
        progress,
        { name: "dpsInstance", value: event.dpsInstance },
        { name: "idScope", value: event.idScope },
        { name: "globalDeviceEndpoint", value: event.globalDeviceEndpoint },
        { name: "attestation", value: event.attestation },
      );
    case "waiting-for-slot":
      return noted({ kind: "slot", until: now + Number(event.waitS) * 1000 });
    case "unsealed":
      return knowing(progress, { name: "order", value: event.order });
    case "network":
      return noted({ kind: "network", state: event.state });
    case "handed-off":
      return knowing(progress, { name: "digest", value: event.digest });
    case "device-status":
      return noted({ kind: "status", phase: event.phase, attempts: event.attempts });
    case "reconnecting":
      return noted({ kind: "reconnecting", attempt: event.attempt });
    case "warning":
      return { ...progress, warnings: [...progress.warnings, event] };
    case "finished":
      return knowing(
        { ...progress, end: { kind: "finished", paired: event } },
        { name: "deviceId", value: event.deviceId },
        { name: "substatus", value: event.substatus ?? "" },
        { name: "roundTrips", value: String(event.roundTrips) },
        { name: "bytes", value: String(Number(event.bytesSent) + Number(event.bytesReceived)) },
      );
    case "network-finished":
      return knowing({ ...progress, end: { kind: "network", set: event } }, { name: "ip", value: event.ip ?? "" });
    case "failed": {
      const running = active(progress);
      const failedAt = event.step ?? running?.step;
      // Heard of in one go: it is told anew, and ended when it had come so far.
      const retold = running?.heardAt !== undefined && now - running.heardAt < 1_000;
      return {
        ...progress,
        end: { kind: "failed", error: event, at: (retold && running.startedAt) || now },
        steps: progress.steps.map((line) =>
          line.step === failedAt && line.state !== "done" ? { ...line, state: "failed", note: undefined } : line,
        ),
      };
    }
    default:
      // An event of a newer core: nothing that this page could show.
      return progress;
  }
}
