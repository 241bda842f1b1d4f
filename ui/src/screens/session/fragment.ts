/**
 * The code in an address' fragment (`#code=…`); `leave` gets the address without it.
 */
export function takeCode(place: Pick<Location, "hash" | "pathname" | "search">, leave: (to: string) => void) {
  const code = new URLSearchParams(place.hash.slice(1)).get("code") ?? undefined;
  if (code !== undefined) leave(place.pathname + place.search);
  return code;
}

/**
 * What this page was opened with. It is out of the address bar and the history before anything is drawn: a fragment is
 * sent to nobody, but a person may pass the address on.
 */
let brought = takeCode(location, (to) => history.replaceState(null, "", to));

/** The code that the address brought, once. */
export function broughtCode(): string | undefined {
  const code = brought;
  brought = undefined;
  return code;
}
