import { fireEvent, screen } from "@testing-library/react";
import { expect, it, vi } from "vitest";
import { type LeftOut, platform } from "@/platform";
import { answerCalls, renderPage } from "@/test-page";
import { LogsBundle } from "./LogsBundle";

const file = (name: string) => ({ name, bytes: 1200, what: "the core's own English" });

async function saved(files: string[], leftOut: LeftOut[]) {
  answerCalls({
    logs_bundle: () => ({ fileName: "logs.zip", base64: "", contents: files.map(file), leftOut }),
  });
  vi.spyOn(platform, "saveFile").mockResolvedValue("/tmp/logs.zip");
  await renderPage(<LogsBundle />, "de");
  const save = await screen.findByRole("button", { name: "Protokolle speichern" });
  save.focus();
  fireEvent.click(save);
  fireEvent.click(await screen.findByText("Was darin ist"));
  await screen.findByText("Was weggelassen wurde");
}

it("says in the page's language what is in the bundle and what is not", async () => {
  const names = ["versions.json", "doctor.json", "settings.toml", "journal.jsonl", "logs/2026-1.jsonl", "README.txt"];
  await saved(names, [
    { what: "keyring" },
    { what: "journal", code: "journal-not-a-database" },
    { what: "log", name: "2026-2.jsonl", why: "Permission denied" },
  ]);
  expect(screen.queryByText(/own English/)).toBeNull();
  expect(screen.getByText("ein Protokoll, JSON-Zeilen")).toBeTruthy();
  expect(screen.getByText("Der Schlüsselbund und die Geheimnisdatei.")).toBeTruthy();
  expect(screen.getByText("Das Journal: Die Journaldatei ist beschädigt.")).toBeTruthy();
  expect(screen.getByText("Das Protokoll 2026-2.jsonl: Permission denied")).toBeTruthy();
});

it("says of a file that is newer than this page what the core says", async () => {
  await saved(["moon.json"], [{ what: "secrets" }]);
  expect(screen.getByText("the core's own English")).toBeTruthy();
});
