import { describe, expect, it } from "vitest";
import type { PairingEvent, Step } from "@/platform";
import { active, begin, type Progress, reduce } from "./progress";

const NOW = 1_000_000;
const started = (step: Step): PairingEvent => ({ event: "step-started", step, waitingFor: "device", deadlineS: 30 });
const done = (step: Step, seconds = 1): PairingEvent => ({ event: "step-done", step, seconds, roundTrips: 1 });
const run = (events: PairingEvent[], now = NOW, from = begin(NOW)): Progress =>
  events.reduce((progress, event) => reduce(progress, event, now), from);
const states = (progress: Progress) => Object.fromEntries(progress.steps.map(({ step, state }) => [step, state]));

describe("the line of steps", () => {
  it("shows every step but the network before anything has happened", () => {
    expect(begin(NOW).steps.map((line) => line.step)).toEqual([
      "discover",
      "connect",
      "secure",
      "identify",
      "allocate",
      "hand-off",
      "confirm",
      "record",
    ]);
  });

  it("takes the network step in where it belongs, and only when a device takes it", () => {
    const steps = run([started("network")]).steps.map((line) => line.step);
    expect(steps.indexOf("network")).toBe(steps.indexOf("allocate") + 1);
    expect(steps.indexOf("hand-off")).toBe(steps.indexOf("network") + 1);
  });

  it("fills from above", () => {
    const progress = run([started("discover"), done("discover"), started("connect")]);
    expect(states(progress)).toMatchObject({ discover: "done", connect: "active", secure: "next" });
    expect(active(progress)?.waitingFor).toBe("device");
  });

  it("ends where the failure says, whatever was running", () => {
    const progress = run([
      started("discover"),
      done("discover"),
      started("connect"),
      { event: "failed", code: "device-silent", action: "move-closer", step: "connect", hint: "" },
    ]);
    expect(states(progress).connect).toBe("failed");
    expect(progress.end).toMatchObject({ kind: "failed", error: { code: "device-silent" } });
  });

  it("that is told anew ended when it had come so far, not when somebody looks", () => {
    const failed: PairingEvent = { event: "failed", code: "slot-later", action: "wait", hint: "", retryAfterS: 3600 };
    const events = [started("discover"), done("discover", 4), started("allocate")];
    const later = NOW + 20_000;
    expect(run([...events, failed], later).end).toMatchObject({ at: NOW + 4_000 });
    expect(reduce(run(events, NOW + 4_000), failed, later).end).toMatchObject({ at: later });
    expect(run([failed]).end).toMatchObject({ at: NOW });
  });

  it("leaves steps that are done as they are when a failure names them", () => {
    const progress = run([
      started("identify"),
      done("identify"),
      { event: "failed", code: "network-needed", action: "check-wifi", step: "identify", hint: "" },
    ]);
    expect(states(progress).identify).toBe("done");
  });

  it("runs a step again that was done before", () => {
    const progress = run([started("connect"), done("connect"), started("connect")]);
    expect(states(progress).connect).toBe("active");
    expect(progress.steps.filter((line) => line.step === "connect")).toHaveLength(1);
  });

  it("forgets what a step told when it is done", () => {
    const told = run([started("connect"), { event: "searching", heard: 4 }]);
    expect(active(told)?.note).toEqual({ kind: "searching", heard: 4 });
    expect(reduce(told, done("connect"), NOW).steps.find((line) => line.step === "connect")?.note).toBeUndefined();
  });

  it("waits for a network and goes on when it is back", () => {
    const offline = run([started("allocate"), { event: "offline", step: "allocate", atMostS: 900 }]);
    expect(active(offline)?.note).toEqual({ kind: "offline", until: NOW + 900_000 });
    expect(active(reduce(offline, { event: "online", step: "allocate", afterMs: 5 }, NOW))?.note).toBeUndefined();
  });

  it("passes over events that a newer core may tell", () => {
    const before = run([started("connect")]);
    expect(reduce(before, { event: "something-new" } as never, NOW)).toBe(before);
  });
});

describe("a pairing that is watched again after a reload", () => {
  it("knows since when the running step runs, from the steps before it", () => {
    const progress = run([started("discover"), done("discover", 2), started("connect")], NOW, begin(NOW - 10_000));
    expect(active(progress)?.startedAt).toBe(NOW - 8_000);
  });

  it("never says that a step has begun later than now, or longer ago than it may last", () => {
    const fast = run([done("discover", 99), started("connect")], NOW, begin(NOW - 1_000));
    expect(active(fast)?.startedAt).toBe(NOW);
    const slow = run([started("connect")], NOW, begin(NOW - 3_600_000));
    expect(active(slow)?.startedAt).toBe(NOW - 30_000);
  });
});

describe("the details", () => {
  it("keep the newest word of each thing and leave out what is empty", () => {
    const progress = run([
      { event: "started", handoffId: "h", resumed: true, name: "PROV_1", link: "ble://1" },
      { event: "secured", security: 1 },
      { event: "secured", security: 2 },
      {
        event: "device-identified",
        registrationId: "r",
        model: "",
        firmware: "1.0",
        attestations: ["x509"],
        phase: "empty",
      },
    ]);
    expect(progress).toMatchObject({ name: "PROV_1", resumed: true });
    expect(progress.facts).toEqual([
      { name: "link", value: "ble://1" },
      { name: "handoffId", value: "h" },
      { name: "security", value: "2" },
      { name: "registrationId", value: "r" },
      { name: "firmware", value: "1.0" },
    ]);
  });
});
