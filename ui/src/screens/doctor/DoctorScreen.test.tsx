import { fireEvent, screen } from "@testing-library/react";
import { expect, it } from "vitest";
import type { Check, Report, Seen } from "@/platform";
import { answerCalls, failure, renderPage } from "@/test-page";
import { DoctorScreen } from "./DoctorScreen";

const check = (details: Seen[], more: Partial<Check> = {}): Check => ({
  topic: "time",
  status: "ok",
  code: "clock-ok",
  text: "",
  seen: "the core's own English",
  details,
  seconds: 0.1,
  ...more,
});

async function show(checks: Check[], language: string) {
  const report: Report = { at: "2026-11-30T08:00:00Z", version: "0.1.0", worst: "ok", seconds: 1, checks };
  answerCalls({ doctor: () => report });
  await renderPage(<DoctorScreen />, language);
}

it("says in the page's language what the doctor saw", async () => {
  await show(
    [check([{ seen: "clock", seconds: -90 }]), check([{ seen: "port", path: "/dev/ttyUSB0", state: "denied" }])],
    "de",
  );
  expect(await screen.findByText(/hinter dem Server/)).toBeTruthy();
  expect(screen.getByText("/dev/ttyUSB0 ohne Zugriff")).toBeTruthy();
  expect(screen.queryByText(/own English/)).toBeNull();
});

it("words a mistake in the settings as the settings do, with its place", async () => {
  const problem = { wrong: "unknown-key", nearest: "api", all: ["api", "ca-files"] } as const;
  const seen: Seen = {
    seen: "setting",
    place: "/x.toml:2:1",
    key: "apy",
    problem: { ...problem, all: [...problem.all] },
  };
  await show([check([seen], { topic: "settings", status: "failed", code: "settings-wrong" })], "en");
  fireEvent.click(await screen.findByText("Details"));
  expect(await screen.findByText(/^\/x\.toml:2:1: apy: .*api.*ca-files/)).toBeTruthy();
});

it("a report that comes after a failure takes the keyboard along", async () => {
  const report: Report = { at: "2026-11-30T08:00:00Z", version: "0.1.0", worst: "ok", seconds: 1, checks: [] };
  let answers = 0;
  answerCalls({
    doctor: () => {
      answers += 1;
      if (answers < 2) throw failure("internal");
      return report;
    },
  });
  await renderPage(<DoctorScreen />);
  const again = await screen.findByRole("button", { name: "Try again" });
  again.focus();
  fireEvent.click(again);
  const verdict = (await screen.findByText("All is well")).closest("section");
  expect(document.activeElement).toBe(verdict);
});

it("shows the core's own words for what is newer than this page, and all of them then", async () => {
  const newer = { seen: "phase-of-the-moon" } as unknown as Seen;
  await show([check([{ seen: "clock", seconds: 5 }, newer])], "es");
  expect(await screen.findByText("the core's own English")).toBeTruthy();
});
