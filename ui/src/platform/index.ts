import type { Platform } from "./platform";
import { tauriPlatform } from "./tauri";
import { webPlatform } from "./web";

export type * from "./generated";
export { asCommandError, CommandFailed, type HandedOver, type Platform } from "./platform";
export { copyText, storage } from "./storage";

/** The page's host, chosen once. */
export const platform: Platform = "__TAURI_INTERNALS__" in window ? tauriPlatform() : webPlatform();
