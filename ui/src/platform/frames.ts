/**
 * Collects what arrives and hands it on once a frame: 32 pairings tell hundreds of things a second, and a page that drew
 * each of them would miss its frames. Where no frames are drawn (a hidden tab) a timer stands in.
 */
export function batchFrames<T>(
  flush: (items: T[]) => void,
  schedule: (run: () => void) => void = nextFrame,
): (item: T) => void {
  let waiting: T[] = [];
  return (item) => {
    waiting.push(item);
    if (waiting.length > 1) return;
    schedule(() => {
      const items = waiting;
      waiting = [];
      flush(items);
    });
  };
}

/** Runs before the next frame is drawn. */
export function nextFrame(run: () => void): void {
  if (document.visibilityState === "hidden") setTimeout(run, 250);
  else requestAnimationFrame(run);
}
