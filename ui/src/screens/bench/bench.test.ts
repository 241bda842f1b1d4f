import { beforeEach, describe, expect, it, vi } from "vitest";
import type { PairingEvent } from "@/platform";
import { AT_ONCE, heard, makeBench, type Tile, TOLD_A_FRAME } from "./bench";

/** The core as far as a bench asks it: every pairing that is begun runs until the test says something of it. */
const core = vi.hoisted(() => ({
  begun: [] as string[],
  say: new Map<string, (event: PairingEvent) => void>(),
  refuse: undefined as unknown,
}));

vi.mock("@/platform", () => ({
  platform: {
    call: async (name: string, args: { labelId: string }) => {
      if (name === "pairings") return [];
      if (core.refuse) throw core.refuse;
      core.begun.push(args.labelId);
      return { pairingId: `pairing of ${args.labelId}` };
    },
    stream: (_: string, { pairingId }: { pairingId: string }, onEvent: (event: PairingEvent) => void) =>
      new Promise<void>((resolve) => {
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

beforeEach(() => {
  core.begun.length = 0;
  core.say.clear();
  core.refuse = undefined;
});

describe("the bench", () => {
  it("has each device once, whatever its label is called this time", () => {
    const bench = benchOf(1);
    expect(bench.add({ key: "another", name: "pump-0", link: "ble://" })).toBe(false);
    expect(bench.totals()).toMatchObject({ all: 1, ready: 1 });
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
});

it("a tile that is paired says where to", () => {
  const tile: Tile = { key: "k", name: "n", state: "running" };
  expect(heard(tile, finished, 0)).toMatchObject({ state: "paired", hub: "north.example.net" });
});
