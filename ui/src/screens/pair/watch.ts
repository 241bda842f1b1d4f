import { useEffect, useState } from "react";
import { asCommandError, type CommandError, type PairingSeen, platform } from "@/platform";
import { batchFrames } from "@/platform/frames";
import { begin, type Progress, reduce } from "./progress";

/** Codes after which watching again leads nowhere. */
const GONE = new Set<string>(["pairing-forgotten", "command-arguments", "command-unknown", "gateway-session-missing"]);

const AGAIN_MS = 1_500;

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
    let timer: ReturnType<typeof setTimeout> | undefined;
    const open = async () => {
      try {
        const seen = (await platform.call("pairings", {}, stop.signal)).find((each) => each.pairingId === pairingId);
        // The gateway's clock may be another than this phone's: never later than now, never long ago for a fresh one.
        let progress = begin(Math.min(Date.now(), seen ? Date.parse(seen.startedAt) : Date.now()));
        setWatched({ seen, progress, lost: false });
        const show = batchFrames<Parameters<typeof reduce>[1]>((events) => {
          if (stop.signal.aborted) return;
          const now = Date.now();
          progress = events.reduce((before, event) => reduce(before, event, now), progress);
          setWatched({ seen, progress, lost: false });
        });
        let final = false;
        await platform.stream(
          "pairing_watch",
          { pairingId },
          (event) => {
            final ||= event.event === "finished" || event.event === "network-finished" || event.event === "failed";
            show(event);
          },
          stop.signal,
        );
        if (final) return;
      } catch (thrown) {
        if (stop.signal.aborted) return;
        const error = asCommandError(thrown);
        if (GONE.has(error.code)) {
          setWatched((before) => ({ ...before, error }));
          return;
        }
      }
      if (stop.signal.aborted) return;
      setWatched((before) => ({ ...before, lost: true }));
      timer = setTimeout(() => void open(), AGAIN_MS);
    };
    void open();
    return () => {
      stop.abort();
      clearTimeout(timer);
    };
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
