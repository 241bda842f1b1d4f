import type { Calls, CommandError, Streams } from "./generated";

/** What the page can ask of its host. Two hosts have it: Tauri's window and `lowtouch serve`. */
export interface Platform {
  readonly host: "desktop" | "gateway";
  /** Calls a command of the core; rejects with {@link CommandFailed}. */
  call<N extends keyof Calls>(name: N, args: Calls[N]["args"], signal?: AbortSignal): Promise<Calls[N]["result"]>;
  /**
   * Opens a stream of the core. Resolves when the stream has ended by itself or by `signal`; rejects with
   * {@link CommandFailed} when it could not be opened or was cut off.
   */
  stream<N extends keyof Streams>(
    name: N,
    args: Streams[N]["args"],
    onEvent: (event: Streams[N]["event"]) => void,
    signal: AbortSignal,
  ): Promise<void>;
  /** Lets the person keep a file. Gives where: its path, or its name among a browser's downloads. Null: they thought better of it. */
  saveFile(fileName: string, base64: string): Promise<string | null>;
  /** Opens an https address outside the page. */
  openExternal(url: string): Promise<void>;
  /** What the system hands to the page: invites (`lowtouch:…` links) and places to go (menu, tray). Returns its end. */
  onHandedOver(listener: (handed: HandedOver) => void): () => void;
  /** Tells the host which language menus and notifications speak. */
  speak(language: string): void;
  /** Gateway only: shows the one-time code of the console; the session that it opens is a cookie. */
  openSession?(code: string): Promise<void>;
  /** Gateway only: forgets this browser, and ends its streams. */
  endSession?(): Promise<void>;
}

export type HandedOver = { kind: "invite"; link: string } | { kind: "go"; to: string };

/** A command that failed, with the core's stable code. */
export class CommandFailed extends Error {
  readonly error: CommandError;

  constructor(error: CommandError) {
    super(error.code);
    this.name = "CommandFailed";
    this.error = error;
  }
}

/** The page lost its host, or never reached it. Said like every other failure, so that all pages show it the same way. */
export function hostFailure(code: "host-unreachable" | "host-answer-invalid", detail: string): CommandFailed {
  return new CommandFailed({
    code: code as CommandError["code"],
    action: code === "host-unreachable" ? "retry" : "contact-support",
    detail,
    hint: "",
  });
}

/** Whatever was thrown, or told by a stream, as an error that a page can show. */
export function asCommandError(thrown: unknown): CommandError {
  if (thrown instanceof CommandFailed) return thrown.error;
  if (isCommandError(thrown)) return thrown;
  const detail = thrown instanceof Error ? `${thrown.name}: ${thrown.message}` : String(thrown);
  return { code: "internal" as CommandError["code"], action: "contact-support", detail, hint: "" };
}

/** Whether a host's rejection is the core's error. */
export function isCommandError(value: unknown): value is CommandError {
  return typeof value === "object" && value !== null && typeof (value as { code?: unknown }).code === "string";
}
