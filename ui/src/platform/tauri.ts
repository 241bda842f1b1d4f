import { Channel, invoke } from "@tauri-apps/api/core";
import { CommandFailed, type HandedOver, hostFailure, isCommandError, type Platform } from "./platform";

async function ask<R>(command: string, args?: Record<string, unknown>): Promise<R> {
  try {
    return await invoke<R>(command, args);
  } catch (thrown) {
    if (isCommandError(thrown)) throw new CommandFailed(thrown);
    throw hostFailure("host-answer-invalid", String(thrown));
  }
}

/** The page in Tauri's window: commands by IPC, streams through a Channel. */
export function tauriPlatform(): Platform {
  const listeners = new Set<(handed: HandedOver) => void>();
  const early: HandedOver[] = [];
  const events = new Channel<HandedOver>();
  events.onmessage = (handed) => {
    if (listeners.size === 0) early.push(handed);
    for (const listener of listeners) listener(handed);
  };
  void ask("window_events", { channel: events }).catch(() => undefined);

  return {
    host: "desktop",

    call: (name, args) => ask(name, { args }),

    async stream(name, args, onEvent, signal) {
      if (signal.aborted) return;
      const streamId = crypto.randomUUID();
      const channel = new Channel<{ event: never } | { end: true }>();
      const ended = new Promise<void>((resolve) => {
        channel.onmessage = (message) => {
          if ("end" in message) resolve();
          else if (!signal.aborted) onEvent(message.event);
        };
        signal.addEventListener("abort", () => resolve(), { once: true });
      });
      await ask(name, { args, streamId, channel });
      await ended;
      if (signal.aborted) await ask("stream_stop", { args: { streamId } }).catch(() => undefined);
    },

    async saveFile(fileName, base64) {
      return (await ask<{ saved: string | null }>("save_file", { args: { fileName, base64 } })).saved;
    },

    openExternal: (url) => ask("plugin:opener|open_url", { url }),

    onHandedOver(listener) {
      listeners.add(listener);
      for (const handed of early.splice(0)) listener(handed);
      return () => listeners.delete(listener);
    },

    speak(language) {
      void ask("window_language", { args: { language } }).catch(() => undefined);
    },
  };
}
