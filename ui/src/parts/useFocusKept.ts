import { useCallback, useEffect, useRef } from "react";

/** Where the keyboard was last, whether or not that is still there. */
let last: Element | undefined;
/** It was a button that could not be pressed any more: browsers let go of it, and do not come back when it can. */
let barred = false;

document.addEventListener("focusin", ({ target }) => {
  last = target instanceof Element ? target : undefined;
  barred = false;
});
document.addEventListener("focusout", ({ target }) => {
  barred = target instanceof Element && target.matches(":disabled");
});

/** Whoever left by themselves has lost nothing. */
function isLost(): boolean {
  const { activeElement: now, body } = document;
  return (now === null || now === body) && last !== undefined && (barred || !last.isConnected);
}

/**
 * After one thing has taken another's place on a page that stays: the keyboard, if it went with what was there, is at what the
 * reference is given to, else at the page's title. `shown` names what is there; undefined is waited out. (A new page is the
 * shell's affair.)
 */
export function useFocusKept(shown: string | undefined): (place: HTMLElement | null) => void {
  const place = useRef<HTMLElement>(null);
  const before = useRef(shown);
  useEffect(() => {
    if (shown === undefined || shown === before.current) return;
    before.current = shown;
    if (!isLost()) return;
    const next = place.current ?? document.querySelector<HTMLElement>("#content h1");
    // Headings and texts are none that the keyboard comes to by itself.
    if (next && next.tabIndex < 0) next.tabIndex = -1;
    next?.focus();
  }, [shown]);
  return useCallback((element) => {
    place.current = element;
  }, []);
}

/** What an answer, or each new failure, shows; an answer that is only newer takes nothing's place. */
export function answered(asked: { isPending: boolean; status: string; errorUpdatedAt: number }): string | undefined {
  return asked.isPending ? undefined : `${asked.status} ${asked.errorUpdatedAt}`;
}
