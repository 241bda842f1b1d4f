import { expect, it } from "vitest";
import { batchFrames } from "./frames";

/** Frames that are drawn when the test says so. */
function frames() {
  const waiting: (() => void)[] = [];
  const draw = () => {
    for (const run of waiting.splice(0)) run();
  };
  return { schedule: (run: () => void) => void waiting.push(run), draw, waiting };
}

it("hands on all that arrived between two frames at once and in order", () => {
  const { schedule, draw, waiting } = frames();
  const flushed: number[][] = [];
  const tell = batchFrames<number>((items) => flushed.push(items), schedule);
  tell(1);
  tell(2);
  tell(3);
  expect(waiting).toHaveLength(1);
  expect(flushed).toEqual([]);
  draw();
  expect(flushed).toEqual([[1, 2, 3]]);
});

it("keeps what arrives while a frame is drawn for the next one", () => {
  const { schedule, draw } = frames();
  const flushed: number[][] = [];
  const tell = batchFrames<number>((items) => {
    flushed.push(items);
    if (items.includes(1)) tell(2);
  }, schedule);
  tell(1);
  draw();
  draw();
  expect(flushed).toEqual([[1], [2]]);
});
