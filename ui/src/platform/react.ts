import { queryOptions, useQuery } from "@tanstack/react-query";
import { useEffect, useRef, useState } from "react";
import type { Calls, CommandError, Streams } from "./generated";
import { asCommandError, platform } from "./index";

/** How a call is kept in TanStack Query: `queryClient.invalidateQueries({ queryKey: ["journal"] })` after a change. */
export function callOptions<N extends keyof Calls>(name: N, args: Calls[N]["args"]) {
  return queryOptions({
    queryKey: [name, args] as const,
    queryFn: ({ signal }): Promise<Calls[N]["result"]> => platform.call(name, args, signal),
  });
}

/** A call whose answer is shown; errors are CommandFailed (`asCommandError(query.error)`). */
export function useCall<N extends keyof Calls>(name: N, args: Calls[N]["args"], enabled = true) {
  return useQuery({ ...callOptions(name, args), enabled });
}

export interface Streamed<E> {
  /** The newest event. */
  latest?: E;
  /** Why the stream is not open at the moment. */
  error?: CommandError;
}

/** How long until a stream that was cut off is opened again. */
const AGAIN_MS = [500, 1_000, 2_000, 5_000];

/**
 * A stream of snapshots whose newest one is shown, opened while the component is there and opened again when it was cut
 * off. For streams that end (a pairing, a sign-in) use `platform.stream`.
 */
export function useSnapshots<N extends keyof Streams>(
  name: N,
  args: Streams[N]["args"],
  enabled = true,
): Streamed<Streams[N]["event"]> {
  const [streamed, setStreamed] = useState<Streamed<Streams[N]["event"]>>({});
  const key = JSON.stringify(args);
  const argsOfKey = useRef(args);
  argsOfKey.current = args;
  // biome-ignore lint/correctness/useExhaustiveDependencies: `key` stands for the arguments
  useEffect(() => {
    if (!enabled) return;
    const stop = new AbortController();
    let timer: ReturnType<typeof setTimeout> | undefined;
    let failures = 0;
    const open = async () => {
      try {
        await platform.stream(
          name,
          argsOfKey.current,
          (latest) => {
            failures = 0;
            setStreamed({ latest });
          },
          stop.signal,
        );
      } catch (thrown) {
        if (stop.signal.aborted) return;
        const error = asCommandError(thrown);
        setStreamed((before) => ({ ...before, error }));
      }
      if (stop.signal.aborted) return;
      timer = setTimeout(() => void open(), AGAIN_MS[Math.min(failures, AGAIN_MS.length - 1)]);
      failures += 1;
    };
    void open();
    return () => {
      stop.abort();
      clearTimeout(timer);
    };
  }, [name, key, enabled]);
  return streamed;
}
