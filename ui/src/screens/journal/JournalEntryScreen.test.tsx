import { screen } from "@testing-library/react";
import { expect, it } from "vitest";
import type { JournalEntry } from "@/platform";
import { answerCalls, renderPage } from "@/test-page";
import { JournalEntryScreen } from "./JournalEntryScreen";

const at = "2026-11-30T10:00:00Z";

async function show(status: string, substatus: string) {
  const entry: JournalEntry = {
    handoffId: "01920000-7b3c-7def-8a11-5b6c7d8e9f00",
    name: "pump-001",
    link: "ble://",
    startedAt: at,
    updatedAt: at,
    runs: 1,
    state: "assigned",
    acknowledged: { committedAt: at },
    deviceSaid: { at, phase: "assigned", substatus },
    dpsSaid: { at, status },
  };
  answerCalls({ journal_entry: () => entry });
  await renderPage(<JournalEntryScreen handoffId={entry.handoffId} />, "de");
}

it("says in the page's language what DPS said, however DPS spells it", async () => {
  await show("Assigned", "deviceDataMigrated");
  expect(await screen.findByText("zugewiesen")).toBeTruthy();
  expect(screen.getByText("DPS sagte: zugewiesen")).toBeTruthy();
  expect(screen.getByText("neu zugewiesen, Daten mitgenommen")).toBeTruthy();
});

it("says what DPS said where this page does not know it", async () => {
  await show("inOrbit", "farAway");
  expect(await screen.findByText("DPS sagte: inOrbit")).toBeTruthy();
  expect(screen.getByText("farAway")).toBeTruthy();
});
