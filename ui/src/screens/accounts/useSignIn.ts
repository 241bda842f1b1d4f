import { useCallback, useEffect, useReducer, useRef } from "react";
import {
  type AccountSeen,
  asCommandError,
  type CommandError,
  platform,
  type SignInEvent,
  type Streams,
} from "@/platform";

export type SignInWith = Streams["sign_in"]["args"];

export type SignInState =
  | { stage: "idle" }
  | { stage: "waiting"; browser?: string; deviceCode?: { url: string; qr: string; code: string; expiresAt: string } }
  | { stage: "done"; account: AccountSeen; renewable: boolean; clockWrongByS?: number }
  | { stage: "failed"; error: CommandError };

export type SignInNews = SignInEvent | { event: "started" } | { event: "cancelled" };

/** How a sign-in stands after some news. What comes after an end, or after a cancel, changes nothing. */
export function signInStep(state: SignInState, news: SignInNews): SignInState {
  if (news.event === "started") return { stage: "waiting" };
  if (news.event === "cancelled") return { stage: "idle" };
  if (state.stage !== "waiting") return state;
  switch (news.event) {
    case "open-browser":
      return { stage: "waiting", browser: news.url };
    case "device-code":
      return {
        stage: "waiting",
        deviceCode: { url: news.url, qr: news.completeUrl ?? news.url, code: news.code, expiresAt: news.expiresAt },
      };
    case "signed-in":
      return { stage: "done", account: news.account, renewable: news.renewable, clockWrongByS: news.clockWrongByS };
    case "failed":
      return { stage: "failed", error: news.error };
    default:
      return state;
  }
}

/** One sign-in at a time; it is cancelled when the page goes. */
export function useSignIn(onDone: () => void) {
  const [state, tell] = useReducer(signInStep, { stage: "idle" });
  const running = useRef<AbortController>(undefined);
  const done = useRef(onDone);
  done.current = onDone;

  useEffect(() => () => running.current?.abort(), []);

  const start = useCallback(async (args: SignInWith) => {
    running.current?.abort();
    const stop = new AbortController();
    running.current = stop;
    tell({ event: "started" });
    let ended = false;
    try {
      await platform.stream(
        "sign_in",
        args,
        (event) => {
          if (stop.signal.aborted) return;
          ended ||= event.event === "signed-in" || event.event === "failed";
          if (event.event === "open-browser") void platform.openExternal(event.url);
          if (event.event === "signed-in") done.current();
          tell(event);
        },
        stop.signal,
      );
      if (!ended && !stop.signal.aborted) tell({ event: "cancelled" });
    } catch (thrown) {
      if (!stop.signal.aborted) tell({ event: "failed", error: asCommandError(thrown) });
    }
  }, []);

  const cancel = useCallback(() => {
    running.current?.abort();
    tell({ event: "cancelled" });
  }, []);

  return { state, start, cancel };
}
