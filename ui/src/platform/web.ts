// eventsource-parser: the browser's own EventSource can neither POST nor be told why it was refused; this one parses only.
import { createParser } from "eventsource-parser";
import { CommandFailed, hostFailure, isCommandError, type Platform } from "./platform";

/** Without a byte for so long (the host sends a heartbeat every 15 s) a stream counts as cut off. */
const SILENCE_MS = 45_000;

/** The core ends every command long before; whoever waits longer waits for a host that is gone. */
const CALL_MS = 180_000;

async function post(path: string, body: unknown, signal?: AbortSignal): Promise<Response> {
  let response: Response;
  try {
    response = await fetch(path, {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: JSON.stringify(body),
      credentials: "same-origin",
      redirect: "error",
      signal,
    });
  } catch (thrown) {
    if (signal?.aborted) throw thrown;
    throw hostFailure("host-unreachable", String(thrown));
  }
  if (response.ok) return response;
  const error = await response.json().catch(() => undefined);
  if (isCommandError(error)) throw new CommandFailed({ ...error, hint: error.hint ?? "" });
  throw hostFailure("host-answer-invalid", `${path}: HTTP ${response.status}`);
}

async function json(response: Response): Promise<never> {
  try {
    return (await response.json()) as never;
  } catch (thrown) {
    throw hostFailure("host-answer-invalid", String(thrown));
  }
}

/** The page served by `lowtouch serve`: commands by POST, streams as server-sent events. */
export function webPlatform(): Platform {
  return {
    host: "gateway",

    async call(name, args, signal) {
      const deadline = AbortSignal.timeout(CALL_MS);
      const until = signal ? AbortSignal.any([signal, deadline]) : deadline;
      try {
        return await json(await post(`/api/call/${name}`, args, until));
      } catch (thrown) {
        if (deadline.aborted && !signal?.aborted)
          throw hostFailure("host-unreachable", `no answer in ${CALL_MS / 1000} s`);
        throw thrown;
      }
    },

    async stream(name, args, onEvent, signal) {
      const cut = new AbortController();
      const stop = () => cut.abort();
      signal.addEventListener("abort", stop, { once: true });
      if (signal.aborted) return;
      let timer: ReturnType<typeof setTimeout> | undefined;
      const heard = () => {
        clearTimeout(timer);
        timer = setTimeout(stop, SILENCE_MS);
      };
      try {
        heard();
        const response = await post(`/api/stream/${name}`, args, cut.signal);
        const reader = response.body?.pipeThrough(new TextDecoderStream()).getReader();
        if (!reader) return;
        const parser = createParser({
          onEvent: ({ event, data }) => {
            if (signal.aborted) return;
            const value: unknown = JSON.parse(data);
            if (event === "error" && isCommandError(value)) throw new CommandFailed(value);
            onEvent(value as never);
          },
        });
        for (;;) {
          const { done, value } = await reader.read();
          if (done) return;
          heard();
          parser.feed(value);
        }
      } catch (thrown) {
        if (signal.aborted) return;
        if (thrown instanceof CommandFailed) throw thrown;
        throw hostFailure("host-unreachable", String(thrown));
      } finally {
        clearTimeout(timer);
        signal.removeEventListener("abort", stop);
        cut.abort();
      }
    },

    async saveFile(fileName, base64) {
      const bytes = Uint8Array.from(atob(base64), (character) => character.charCodeAt(0));
      const url = URL.createObjectURL(new Blob([bytes]));
      const link = document.createElement("a");
      link.href = url;
      link.download = fileName;
      link.click();
      // Not at once: some browsers begin the download in a later task.
      setTimeout(() => URL.revokeObjectURL(url), 60_000);
      return fileName;
    },

    async openExternal(url) {
      if (new URL(url).protocol === "https:") window.open(url, "_blank", "noopener,noreferrer");
    },

    onHandedOver: () => () => undefined,

    speak: () => undefined,

    async openSession(code) {
      await post("/api/session", { code });
    },

    async endSession() {
      await post("/api/session/end", {});
    },
  };
}
