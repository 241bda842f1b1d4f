import { expect, it } from "vitest";
import { plainName } from "./plain";

it("names keep every letter of every language", () => {
  for (const name of ["PROV_F01475", "Pumpe Nr. 3 (Süd)", "泵 7", "مضخة", "पंप"]) expect(plainName(name)).toBe(name);
});

it("what turns, hides or breaks a name is shown as a mark", () => {
  expect(plainName("pump\u202egnp.exe")).toBe("pump\ufffdgnp.exe");
  expect(plainName("pu\u200bmp\n")).toBe("pu\ufffdmp\ufffd");
});
