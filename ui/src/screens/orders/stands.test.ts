import { expect, it } from "vitest";
import { downloadStands, orderStands } from "./stands";

it("an order that is open in principle may not be open at this hour", () => {
  expect(orderStands({ state: "open", openNow: true })).toBe("open");
  expect(orderStands({ state: "open", openNow: false })).toBe("later");
  expect(orderStands({ state: "cancelled", openNow: false })).toBe("cancelled");
});

it("a download is of no use from its end on", () => {
  const now = new Date("2026-11-30T12:00:00Z");
  expect(downloadStands(undefined, now)).toBe("none");
  expect(downloadStands("2026-11-30T12:00:01Z", now)).toBe("usable");
  expect(downloadStands("2026-11-30T12:00:00Z", now)).toBe("ended");
});
