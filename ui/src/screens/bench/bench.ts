import { useSyncExternalStore } from "react";
import { asCommandError, type CommandError, type PairingEvent, type PairingSeen, platform } from "@/platform";
import { batchFrames, nextFrame } from "@/platform/frames";
import { begin, type Progress, reduce } from "@/screens/pair/progress";
import { startPairing } from "@/screens/pair/starts";
import { follow, startedAt } from "@/screens/pair/watch";

/** A device on the bench. */
export interface Tile {
  /** Its label's ID. */
  key: string;
  name: string;
  link?: string;
  state: "ready" | "waiting" | "running" | "paired" | "failed";
  pairingId?: string;
  progress?: Progress;
  error?: CommandError;
  /** Where it was assigned to, for a pairing that had ended before this page came. */
  hub?: string;
}

export interface Totals {
  all: number;
  ready: number;
  running: number;
  paired: number;
  failed: number;
}

/** So many pairings run at once; the others wait for their turn. */
export const AT_ONCE = 32;

/** So many are begun in one frame. */
const A_FRAME = 4;

/** So many are told in one frame that they have to be drawn: 32 tiles at once take 45 ms of a frame's 16. */
export const TOLD_A_FRAME = 8;

type Said = {
  key: string;
  pairingId: string;
  event: PairingEvent | { event: "begin"; seen?: PairingSeen } | { event: "unwatched"; error: CommandError };
};

/**
 * The bench lives outside of React: tiles are told one by one, once a frame, and only those whose device said something.
 * Leaving the page and coming back finds everything as it runs.
 */
export function makeBench(schedule: (run: () => void) => void = nextFrame) {
  const tiles = new Map<string, Tile>();
  const watchers = new Map<string, AbortController>();
  /** Pairings that are, or were, watched here. */
  const known = new Set<string>();
  /** Tiles to be cancelled once the pairing that is just being begun for them has an ID. */
  const stopped = new Set<string>();
  const listeners = new Map<string, Set<() => void>>();
  let order: readonly string[] = [];
  let totals: Totals = { all: 0, ready: 0, running: 0, paired: 0, failed: 0 };

  // What changed is told once a frame, and no more of it than a frame has time to draw; the rest in the next ones.
  const changed = new Set<string>();
  let scheduled = false;
  const tellNext = () => {
    const names = [...changed].slice(0, TOLD_A_FRAME);
    for (const name of names) changed.delete(name);
    for (const name of names) for (const listener of listeners.get(name) ?? []) listener();
    if (changed.size > 0) later();
  };
  const later = () => {
    if (scheduled) return;
    scheduled = true;
    schedule(() => {
      scheduled = false;
      tellNext();
    });
  };
  const tell = (name: string) => {
    changed.add(name);
    later();
  };
  const count = () => {
    const next: Totals = { all: tiles.size, ready: 0, running: 0, paired: 0, failed: 0 };
    for (const { state } of tiles.values()) {
      if (state === "waiting") next.running += 1;
      else next[state] += 1;
    }
    const same = (Object.keys(next) as (keyof Totals)[]).every((name) => next[name] === totals[name]);
    if (same) return;
    totals = next;
    tell("totals");
  };
  const put = (tile: Tile) => {
    const fresh = !tiles.has(tile.key);
    tiles.set(tile.key, tile);
    if (fresh) {
      order = [...order, tile.key];
      tell("order");
    }
    tell(`tile ${tile.key}`);
  };
  const change = (key: string, part: Partial<Tile>) => {
    const tile = tiles.get(key);
    if (tile) put({ ...tile, ...part });
  };
  const drop = (keys: readonly string[]) => {
    for (const key of keys) {
      watchers.get(key)?.abort();
      watchers.delete(key);
      tiles.delete(key);
    }
    order = order.filter((key) => tiles.has(key));
    tell("order");
    count();
  };

  const say = batchFrames<Said>((said) => {
    const now = Date.now();
    const news = new Map<string, Tile>();
    for (const { key, pairingId, event } of said) {
      const tile = news.get(key) ?? tiles.get(key);
      if (tile?.pairingId === pairingId) news.set(key, heard(tile, event, now));
    }
    for (const tile of news.values()) put(tile);
    count();
    fill();
  }, schedule);

  /** From here on the tile shows this pairing, from its first event on. */
  const watch = (key: string, pairingId: string) => {
    const stop = new AbortController();
    watchers.get(key)?.abort();
    watchers.set(key, stop);
    known.add(pairingId);
    change(key, { pairingId, state: "running", progress: undefined, error: undefined, hub: undefined });
    follow(
      pairingId,
      {
        onBegin: (seen) => say({ key, pairingId, event: { event: "begin", seen } }),
        onEvent: (event) => say({ key, pairingId, event }),
        onLost: () => undefined,
      },
      stop.signal,
    ).catch((thrown) => {
      // In its turn: what was said before is drawn with the next frame.
      if (!stop.signal.aborted) say({ key, pairingId, event: { event: "unwatched", error: asCommandError(thrown) } });
    });
  };

  /** Whether a tile that shows another pairing of its label, or none, is to show this one. */
  const learns = (tile: Tile, pairingId: string): boolean => {
    // It is just being begun anew, and that will be the newest.
    if (tile.state === "running" && !tile.pairingId) return false;
    // Only watching it failed, for example because this browser's session had ended.
    if (tile.pairingId === pairingId) return tile.state === "failed" && !tile.progress?.end;
    return !known.has(pairingId);
  };

  const cancel = (pairingId: string) => void platform.call("pairing_cancel", { pairingId }).catch(() => undefined);

  const fail = (key: string, thrown: unknown) => {
    change(key, { state: "failed", error: asCommandError(thrown) });
    count();
    fill();
  };

  const run = async (key: string) => {
    const tile = tiles.get(key);
    if (!tile) return;
    const { name, link } = tile;
    put({ key, name, link, state: "running" });
    try {
      const pairingId = await startPairing({ labelId: key, link });
      watch(key, pairingId);
      count();
      if (stopped.has(key)) cancel(pairingId);
    } catch (thrown) {
      fail(key, thrown);
    }
    stopped.delete(key);
  };

  /** Begins what waits, as far as there is room: a few a frame, so that no frame is late. */
  const fill = () => {
    let room = AT_ONCE;
    for (const { state } of tiles.values()) if (state === "running") room -= 1;
    let inThisFrame = A_FRAME;
    for (const key of order) {
      if (room <= 0) return;
      if (tiles.get(key)?.state !== "waiting") continue;
      if (inThisFrame === 0) {
        schedule(fill);
        return;
      }
      room -= 1;
      inThisFrame -= 1;
      void run(key);
    }
  };

  return {
    subscribe: (name: string) => (listener: () => void) => {
      const known = listeners.get(name) ?? new Set();
      listeners.set(name, known.add(listener));
      return () => known.delete(listener);
    },
    tile: (key: string) => tiles.get(key),
    order: () => order,
    totals: () => totals,

    /** A device that is ready or failed gets the label that is read of it now: the first one may have had the wrong code. */
    add(device: Pick<Tile, "key" | "name" | "link">): "added" | "replaced" | "already" {
      const before =
        tiles.get(device.key) ??
        [...tiles.values()].find((tile) => tile.name === device.name && tile.link === device.link);
      if (before && (before.state === "ready" ? before.key === device.key : before.state !== "failed"))
        return "already";
      const tile: Tile = { ...device, state: "ready" };
      if (before && before.key !== device.key) {
        order = order.map((key) => (key === before.key ? device.key : key));
        tiles.set(device.key, tile);
        drop([before.key]);
      }
      put(tile);
      count();
      return before ? "replaced" : "added";
    },

    /** Begins all that are in one of these states. */
    start(...states: Tile["state"][]): void {
      for (const tile of [...tiles.values()]) {
        if (states.includes(tile.state)) put({ ...tile, state: "waiting" });
      }
      count();
      fill();
    },

    again(key: string): void {
      change(key, { state: "waiting" });
      count();
      fill();
    },

    /** Cancels what runs; what waits is ready again. */
    stop(): void {
      for (const tile of [...tiles.values()]) {
        if (tile.state === "waiting") put({ ...tile, state: "ready" });
        else if (tile.state === "running" && tile.pairingId) cancel(tile.pairingId);
        else if (tile.state === "running") stopped.add(tile.key);
      }
      count();
    },

    /** Takes tiles off the bench; a running pairing goes on. */
    clear(...states: Tile["state"][]): void {
      drop([...tiles.values()].filter((tile) => states.includes(tile.state)).map((tile) => tile.key));
    },

    /** Takes a tile off the bench, unless it runs: then it is cancelled first. */
    remove(key: string): void {
      if (tiles.get(key)?.state !== "running") drop([key]);
    },

    /**
     * Pairings of the core, newest first, that this page does not know: those that run, after a reload, and those that were
     * begun on their own page for a device that is on the bench.
     */
    adopt(pairings: readonly PairingSeen[]): void {
      const newest = new Map<string, PairingSeen>();
      for (const seen of pairings) if (!newest.has(seen.labelId)) newest.set(seen.labelId, seen);
      for (const { labelId: key, name, link, pairingId, state } of newest.values()) {
        const tile = tiles.get(key);
        if (tile ? !learns(tile, pairingId) : state !== "running") continue;
        if (!tile) put({ key, name, link, state: "running" });
        watch(key, pairingId);
      }
      count();
    },
  };
}

/** What a device said, on its tile. */
export function heard(tile: Tile, event: Said["event"], now: number): Tile {
  if (event.event === "begin") {
    return { ...tile, state: "running", progress: begin(startedAt(event.seen)), error: undefined };
  }
  if (event.event === "unwatched") return { ...tile, state: "failed", error: event.error };
  const progress = reduce(tile.progress ?? begin(now), event, now);
  const { end } = progress;
  if (!end) return { ...tile, progress };
  return end.kind === "failed"
    ? { ...tile, progress, state: "failed", error: end.error }
    : { ...tile, progress, state: "paired", hub: end.kind === "finished" ? end.paired.hub : undefined };
}

export const bench = makeBench();

export function useTile(key: string): Tile | undefined {
  return useSyncExternalStore(subscribed(`tile ${key}`), () => bench.tile(key));
}

export function useOrder(): readonly string[] {
  return useSyncExternalStore(subscribed("order"), bench.order);
}

export function useTotals(): Totals {
  return useSyncExternalStore(subscribed("totals"), bench.totals);
}

/** The same function for the same name: React would subscribe anew at every render otherwise. */
const subscriptions = new Map<string, (listener: () => void) => () => void>();
function subscribed(name: string) {
  const known = subscriptions.get(name) ?? bench.subscribe(name);
  subscriptions.set(name, known);
  return known;
}
