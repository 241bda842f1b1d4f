import { platform } from "@/platform";

/**
 * Ends this browser's session with the gateway. Loaded anew, the page knows nothing of what was shown. A gateway that cannot
 * be reached still knows the browser: the page stays, and says that it has lost it.
 */
export function leave(): void {
  platform.endSession?.().then(
    () => location.assign("/"),
    () => undefined,
  );
}
