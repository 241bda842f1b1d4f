import { platform } from "@/platform";

/** Ends this browser's session with the gateway. Loaded anew, the page knows nothing of what was shown. */
export function leave(): void {
  void platform
    .endSession?.()
    .catch(() => undefined)
    .then(() => location.assign("/"));
}
