import { expect, it, vi } from "vitest";
import { takeCode } from "./fragment";

it("takes the code out of the address at once", () => {
  const leave = vi.fn();
  expect(takeCode({ hash: "#code=AB12-CD34", pathname: "/bench", search: "?x=1" }, leave)).toBe("AB12-CD34");
  expect(leave).toHaveBeenCalledWith("/bench?x=1");
});

it("leaves an address without a code alone", () => {
  const leave = vi.fn();
  expect(takeCode({ hash: "#content", pathname: "/", search: "" }, leave)).toBeUndefined();
  expect(leave).not.toHaveBeenCalled();
});
