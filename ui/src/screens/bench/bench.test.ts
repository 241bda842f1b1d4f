import { beforeEach, describe, expect, it, vi } from "vitest";
import type { PairingEvent, PairingSeen } from "@/platform";
import { AT_ONCE, heard, makeBench, type Tile, TOLD_A_FRAME } from "./bench";

/** The core as far as a bench asks it: every pairing that is begun runs until the test says something of it. */
const core = vi.hoisted(() => ({
  begun: [] as string[],
  cancelled: [] as string[],
  /** Resolves when the test lets starts be answered. */
  held: undefined as Promise<void> | undefined,
  say: new Map<string, (event: PairingEvent) => void>(),
  refuse: undefined as unknown,
  /** Why no pairing can be watched. */
  lost: undefined as unknown,
  /** Why no pairing is known any more. */
  forgotten: undefined as unknown,
}));

vi.mock("@/platform", () => ({
  platform: {
    call: async (name: string, args: { labelId: string; pairingId: string }) => {
      if (name === "pairings" && core.lost) throw core.lost;
      if (name === "pairings") return [];
      if (name === "pairing_cancel") return void core.cancelled.push(args.pairingId);
      core.begun.push(args.labelId);
      await core.held;
      if (core.refuse) throw core.refuse;
      const times = core.begun.filter((label) => label === args.labelId).length;
      return { pairingId: `pairing of ${args.labelId}${times > 1 ? ` ${times}` : ""}` };
    },
    stream: (_: string, { pairingId }: { pairingId: string }, onEvent: (event: PairingEvent) => void) =>
      new Promise<void>((resolve, reject) => {
        if (core.forgotten) reject(core.forgotten);
        core.say.set(pairingId, (event) => {
          onEvent(event);
          if (event.event === "finished" || event.event === "failed") resolve();
        });
      }),
  },
  asCommandError: (thrown: unknown) => thrown,
}));

let draw: () => void;

/** Lets everything that is on its way arrive, and draws frames until none is wanted any more. */
const settle = async () => {
  for (let turn = 0; turn < 200; turn += 1) {
    await Promise.resolve();
    if (turn % 10 === 9) draw();
  }
};
const finished = { event: "finished", hub: "north.example.net", seconds: 2 } as never as PairingEvent;
const failed = { event: "failed", code: "wrong-pop", action: "check-pop", hint: "" } as PairingEvent;

function benchOf(count: number) {
  const waiting: (() => void)[] = [];
  draw = () => {
    for (const run of waiting.splice(0)) run();
  };
  const bench = makeBench((run) => void waiting.push(run));
  for (let index = 0; index < count; index += 1)
    bench.add({ key: `label-${index}`, name: `pump-${index}`, link: "ble://" });
  return bench;
}
const tell = (index: number, event: PairingEvent) => core.say.get(`pairing of label-${index}`)?.(event);
/** No start is answered until the test says so. */
function hold(): () => void {
  let answer = () => {};
  core.held = new Promise((resolve) => {
    answer = resolve;
  });
  return answer;
}
const seen = (pairingId: string, state: PairingSeen["state"] = "running", labelId = "label-0"): PairingSeen => ({
  pairingId,
  labelId,
  state,
  name: "pump-0",
  link: "ble://",
  startedAt: "2026-11-30T08:00:00Z",
  demo: false,
});

beforeEach(() => {
  core.begun.length = 0;
  core.cancelled.length = 0;
  core.held = undefined;
  core.say.clear();
  core.refuse = undefined;
  core.lost = undefined;
  core.forgotten = undefined;
});

describe("the bench", () => {
  it("shows a pairing that is not known any more as failed, also when the next frame comes late", async () => {
    const bench = benchOf(0);
    core.forgotten = { code: "pairing-forgotten" };
    bench.adopt([seen("elsewhere")]);
    for (let turn = 0; turn < 100; turn += 1) await Promise.resolve();
    draw();
    expect(bench.tile("label-0")).toMatchObject({ state: "failed", error: { code: "pairing-forgotten" } });
  });

  it("has each device once, in its place, with the label that was read last", () => {
    const bench = benchOf(2);
    expect(bench.add({ key: "another", name: "pump-0", link: "ble://" })).toBe("replaced");
    expect(bench.order()).toEqual(["another", "label-1"]);
    expect(bench.tile("label-0")).toBeUndefined();
    expect(bench.totals()).toMatchObject({ all: 2, ready: 2 });
    expect(bench.add({ key: "another", name: "pump-0", link: "ble://" })).toBe("already");
  });

  it("takes the right code for a device whose first one was wrong", async () => {
    const bench = benchOf(1);
    bench.start("ready");
    await settle();
    tell(0, failed);
    draw();
    expect(bench.add({ key: "right", name: "pump-0", link: "ble://" })).toBe("replaced");
    expect(bench.tile("right")).toEqual({ key: "right", name: "pump-0", link: "ble://", state: "ready" });
    bench.start("ready");
    await settle();
    expect(core.begun).toEqual(["label-0", "right"]);
  });

  it("leaves a device that runs or is paired as it is, whatever is scanned", async () => {
    const bench = benchOf(2);
    bench.start("ready");
    await settle();
    tell(0, finished);
    draw();
    expect(bench.add({ key: "another", name: "pump-0", link: "ble://" })).toBe("already");
    expect(bench.add({ key: "another", name: "pump-1", link: "ble://" })).toBe("already");
    expect(bench.order()).toEqual(["label-0", "label-1"]);
  });

  it("lets go of a single device, unless it runs", async () => {
    const bench = benchOf(3);
    bench.remove("label-1");
    expect(bench.order()).toEqual(["label-0", "label-2"]);
    bench.start("ready");
    await settle();
    tell(0, failed);
    draw();
    bench.remove("label-0");
    bench.remove("label-2");
    expect(bench.order()).toEqual(["label-2"]);
    expect(bench.totals()).toMatchObject({ all: 1, running: 1, failed: 0 });
  });

  it("starts as many as may run, and the next one when one has ended", async () => {
    const bench = benchOf(AT_ONCE + 2);
    bench.start("ready");
    await settle();
    draw();
    await settle();
    expect(core.begun).toHaveLength(AT_ONCE);
    tell(0, finished);
    draw();
    await settle();
    expect(core.begun).toHaveLength(AT_ONCE + 1);
    expect(bench.totals()).toMatchObject({ paired: 1, running: AT_ONCE + 1 });
  });

  it("tells a tile only what its own device said, once a frame", async () => {
    const bench = benchOf(2);
    bench.start("ready");
    await settle();
    const first = vi.fn();
    const second = vi.fn();
    bench.subscribe("tile label-0")(first);
    bench.subscribe("tile label-1")(second);
    for (let count = 0; count < 50; count += 1) tell(0, { event: "searching", heard: count });
    expect(first).not.toHaveBeenCalled();
    await settle();
    expect(first).toHaveBeenCalledTimes(1);
    expect(second).not.toHaveBeenCalled();
  });

  it("has no more tiles drawn in a frame than it has time for, and all of them in the end", async () => {
    const bench = benchOf(3 * TOLD_A_FRAME);
    await settle();
    const told = vi.fn();
    for (let index = 0; index < 3 * TOLD_A_FRAME; index += 1) bench.subscribe(`tile label-${index}`)(told);
    bench.start("ready");
    draw();
    expect(told.mock.calls.length).toBeGreaterThan(0);
    expect(told.mock.calls.length).toBeLessThanOrEqual(TOLD_A_FRAME);
    await settle();
    expect(told.mock.calls.length).toBeGreaterThanOrEqual(3 * TOLD_A_FRAME);
  });

  it("runs again what failed, and only that", async () => {
    const bench = benchOf(2);
    bench.start("ready");
    await settle();
    draw();
    tell(0, finished);
    tell(1, failed);
    draw();
    expect(bench.totals()).toMatchObject({ paired: 1, failed: 1 });
    core.begun.length = 0;
    bench.start("failed");
    await settle();
    expect(core.begun).toEqual(["label-1"]);
    expect(bench.tile("label-1")?.error).toBeUndefined();
  });

  it("shows why a pairing could not be begun", async () => {
    const bench = benchOf(1);
    core.refuse = { code: "too-many-pairings", action: "wait", hint: "" };
    bench.start("ready");
    await settle();
    expect(bench.tile("label-0")).toMatchObject({ state: "failed", error: { code: "too-many-pairings" } });
  });

  it("leaves nobody waiting where all before them could not be begun", async () => {
    const bench = benchOf(AT_ONCE + 2);
    core.refuse = { code: "api-token-missing", action: "sign-in-again", hint: "" };
    const answer = hold();
    bench.start("ready");
    await settle();
    expect(core.begun).toHaveLength(AT_ONCE);
    answer();
    await settle();
    expect(bench.totals()).toMatchObject({ failed: AT_ONCE + 2, running: 0 });
  });

  it("cancels, too, what was just being begun when everything was cancelled", async () => {
    const bench = benchOf(1);
    const answer = hold();
    bench.start("ready");
    await settle();
    bench.stop();
    expect(core.cancelled).toEqual([]);
    answer();
    await settle();
    expect(core.cancelled).toEqual(["pairing of label-0"]);
    // The next run is another one.
    tell(0, failed);
    draw();
    bench.again("label-0");
    await settle();
    expect(core.cancelled).toHaveLength(1);
  });
});

describe("a pairing that was begun elsewhere", () => {
  it("is the tile's of its label: what failed here and was paired on its own page is paired", async () => {
    const bench = benchOf(1);
    bench.start("ready");
    await settle();
    tell(0, failed);
    draw();
    bench.adopt([seen("again", "finished"), seen("pairing of label-0", "failed")]);
    await settle();
    core.say.get("again")?.(finished);
    draw();
    expect(bench.tile("label-0")).toMatchObject({ state: "paired", pairingId: "again", hub: "north.example.net" });
    core.begun.length = 0;
    bench.start("failed");
    await settle();
    expect(core.begun).toEqual([]);
  });

  it("does not take the place of one that the bench is just beginning", async () => {
    const bench = benchOf(1);
    const answer = hold();
    bench.start("ready");
    await settle();
    bench.adopt([seen("elsewhere", "failed")]);
    expect(bench.tile("label-0")?.pairingId).toBeUndefined();
    answer();
    await settle();
    expect(bench.tile("label-0")).toMatchObject({ state: "running", pairingId: "pairing of label-0" });
  });

  it("is not the tile's again once that has a newer one", async () => {
    const bench = benchOf(1);
    bench.start("ready");
    await settle();
    tell(0, failed);
    draw();
    // Asked before the newer one was begun, and answered after.
    const answered = [seen("pairing of label-0", "failed")];
    bench.adopt(answered);
    expect(bench.tile("label-0")?.state).toBe("failed");
    bench.again("label-0");
    await settle();
    bench.adopt(answered);
    await settle();
    expect(bench.tile("label-0")).toMatchObject({ state: "running", pairingId: "pairing of label-0 2" });
  });

  it("comes onto the bench after a reload, as long as it runs", async () => {
    const bench = benchOf(0);
    bench.adopt([seen("one"), seen("ended", "finished", "label-1")]);
    await settle();
    expect(bench.order()).toEqual(["label-0"]);
    expect(bench.tile("label-0")).toMatchObject({ state: "running", pairingId: "one" });
  });

  it("is watched again where only watching it had failed", async () => {
    const bench = benchOf(1);
    core.lost = { code: "gateway-session-missing", action: "sign-in-again", hint: "" };
    bench.start("ready");
    await settle();
    expect(bench.tile("label-0")).toMatchObject({ state: "failed", error: { code: "gateway-session-missing" } });
    core.lost = undefined;
    bench.adopt([seen("pairing of label-0")]);
    await settle();
    expect(bench.tile("label-0")).toMatchObject({ state: "running", pairingId: "pairing of label-0" });
  });

  it("is the only one that says something on the tile from then on", async () => {
    const bench = benchOf(1);
    bench.start("ready");
    await settle();
    bench.adopt([seen("again")]);
    await settle();
    tell(0, failed);
    await settle();
    expect(bench.tile("label-0")).toMatchObject({ state: "running", pairingId: "again" });
  });
});

it("a tile that is paired says where to", () => {
  const tile: Tile = { key: "k", name: "n", state: "running" };
  expect(heard(tile, finished, 0)).toMatchObject({ state: "paired", hub: "north.example.net" });
});
