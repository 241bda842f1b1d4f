import { expect, it } from "vitest";
import type { Check, Report } from "@/platform";
import { reportText, statusCounts, wayOfCheck } from "./checks";

const check = (topic: Check["topic"], status: Check["status"], code: string): Check => ({
  topic,
  status,
  code,
  text: "What it means.",
  seconds: 0.1,
});

it("counts the worst first and leaves out what there is none of", () => {
  const checks = [check("time", "ok", "time-ok"), check("api", "failed", "api-unwell"), check("dps", "ok", "dps-ok")];
  expect(statusCounts(checks)).toEqual([
    ["failed", 1],
    ["ok", 2],
  ]);
});

it("leads to where a mend is done, and nowhere when it is done outside", () => {
  expect(wayOfCheck(check("sign-in", "failed", "sign-in-ended"))?.to).toBe("/sign-in");
  expect(wayOfCheck(check("api", "skipped", "api-not-set"))?.to).toBe("/sign-in");
  expect(wayOfCheck(check("tls", "failed", "tls-untrusted"))?.to).toBe("/settings");
  expect(wayOfCheck(check("adapter", "warning", "adapter-unusable"))).toBeUndefined();
});

it("is copied with codes, what was seen and the mend", () => {
  const report: Report = {
    at: "2026-11-30T12:00:00Z",
    version: "0.7.0",
    worst: "failed",
    seconds: 1.84,
    checks: [{ ...check("api", "failed", "api-unwell"), seen: "503", mend: "Try again." }],
  };
  expect(reportText(report)).toBe(
    [
      "Lowtouch 0.7.0, 2026-11-30T12:00:00Z, 1.8 s",
      "failed  api: What it means. [api-unwell]",
      "        seen: 503",
      "        mend: Try again.",
    ].join("\n"),
  );
});
