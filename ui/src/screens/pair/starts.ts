import { useSyncExternalStore } from "react";
import { type PairingStart, platform } from "@/platform";

export type Wifi = NonNullable<PairingStart["wifi"]>;

/** How pairings were begun from this page, so that they can be begun again. In memory alone: a Wi-Fi has a passphrase. */
const begun = new Map<string, PairingStart>();

/** The Wi-Fi of this site: what worked for one device is offered to the next one. In memory alone. */
let wifi: Wifi | undefined;
const listeners = new Set<() => void>();

export function siteWifi(): Wifi | undefined {
  return wifi;
}

export function setSiteWifi(next: Wifi | undefined): void {
  wifi = next;
  for (const listener of listeners) listener();
}

export function useSiteWifi(): Wifi | undefined {
  return useSyncExternalStore(
    (listener) => {
      listeners.add(listener);
      return () => listeners.delete(listener);
    },
    () => wifi,
  );
}

/** Begins a pairing; the site's Wi-Fi goes with it, for a device that says that it needs one. */
export async function startPairing(start: PairingStart): Promise<string> {
  const args = { ...start, wifi: start.wifi ?? wifi };
  const { pairingId } = await platform.call("pairing_start", args);
  begun.set(pairingId, args);
  return pairingId;
}

/** How it was begun, if that was from this page. */
export function startOf(pairingId: string): PairingStart | undefined {
  return begun.get(pairingId);
}
