import { useEffect, useState } from "react";
import { asCommandError, type CommandError, type PairingEvent, type PairingSeen, platform } from "@/platform";
import { batchFrames } from "@/platform/frames";
import { begin, type Progress, reduce } from "./progress";

/** Codes after which watching again leads nowhere. */
const GONE = new Set<string>(["pairing-forgotten", "command-arguments", "command-unknown", "gateway-session-missing"]);

const AGAIN_MS = 1_500;

export interface Follower {
  /** The events come from the first one on: once at the start, and again whenever the stream had been cut off. */
  onBegin: (seen: PairingSeen | undefined) => void;
  onEvent: (event: PairingEvent) => void;
  /** The stream was cut off and will be opened again. */
  onLost: () => void;
}

/** Follows a pairing to its end. Rejects with what makes watching senseless, for example a pairing that is not known. */
export async function follow(pairingId: string, follower: Follower, signal: AbortSignal): Promise<void> {
  while (!signal.aborted) {
    try {
      const all = await platform.call("pairings", {}, signal);
      if (signal.aborted) return;
      follower.onBegin(all.find((each) => each.pairingId === pairingId));
      let final = false;
      await platform.stream(
        "pairing_watch",
        { pairingId },
        (event) => {
          final ||= event.event === "finished" || event.event === "network-finished" || event.event === "failed";
          follower.onEvent(event);
        },
        signal,
      );
      if (final) return;
    } catch (thrown) {
      if (signal.aborted) return;
      if (GONE.has(asCommandError(thrown).code)) throw thrown;
    }
    if (signal.aborted) return;
    follower.onLost();
    await new Promise((resolve) => setTimeout(resolve, AGAIN_MS));
  }
}

/** The start of a pairing by this page's clock; the gateway's may be another than this phone's. */
export function startedAt(seen: PairingSeen | undefined): number {
  return Math.min(Date.now(), seen ? Date.parse(seen.startedAt) : Date.now());
}

export interface Watched {
  /** What the core says of the pairing as a whole; missing for a moment, or where it is not known any more. */
  seen?: PairingSeen;
  progress?: Progress;
  /** The pairing cannot be watched. */
  error?: CommandError;
  /** The stream was cut off and is being opened again. */
  lost: boolean;
}

/** A pairing from its first event on, however late and however often the page comes. */
export function usePairing(pairingId: string): Watched {
  const [watched, setWatched] = useState<Watched>({ lost: false });
  useEffect(() => {
    const stop = new AbortController();
    let seen: PairingSeen | undefined;
    let progress: Progress | undefined;
    const show = batchFrames<PairingEvent | "begin" | "lost">((items) => {
      if (stop.signal.aborted) return;
      const now = Date.now();
      for (const item of items) {
        if (item === "begin") progress = begin(startedAt(seen));
        else if (item !== "lost") progress = progress && reduce(progress, item, now);
      }
      // What cannot be watched may have been said before this frame.
      setWatched(({ error }) => ({ seen, progress, error, lost: items.at(-1) === "lost" }));
    });
    follow(
      pairingId,
      {
        onBegin: (known) => {
          seen = known;
          show("begin");
        },
        onEvent: show,
        onLost: () => show("lost"),
      },
      stop.signal,
    ).catch((thrown) => {
      if (!stop.signal.aborted) setWatched((before) => ({ ...before, error: asCommandError(thrown) }));
    });
    return () => stop.abort();
  }, [pairingId]);
  return watched;
}

/** This page's clock, ticking while `running`. */
export function useNow(running: boolean, everyMs = 1_000): number {
  const [now, setNow] = useState(Date.now);
  useEffect(() => {
    if (!running) return;
    setNow(Date.now());
    const timer = setInterval(() => setNow(Date.now()), everyMs);
    return () => clearInterval(timer);
  }, [running, everyMs]);
  return now;
}
