import { fireEvent, screen, waitFor } from "@testing-library/react";
import { expect, it } from "vitest";
import { answerCalls, failure, renderPage } from "@/test-page";
import { JournalScreen } from "./JournalScreen";

const counts = { all: 9, open: 1, assigned: 1, failed: 7, untold: 0 };
const none = { entries: [], total: 0, counts };

it("a filter with its count asks the core for just those", async () => {
  const calls = answerCalls({ journal: () => none });
  await renderPage(<JournalScreen />);
  fireEvent.click(await screen.findByRole("button", { name: "Failed 7" }));
  await waitFor(() =>
    expect(calls).toHaveBeenCalledWith("journal", { limit: 100, state: "failed" }, expect.anything()),
  );
  expect(screen.getByRole("button", { name: "Failed 7" }).getAttribute("aria-pressed")).toBe("true");
});

it("a search is asked of the core, and can be taken back in one click", async () => {
  const calls = answerCalls({ journal: () => none });
  await renderPage(<JournalScreen />);
  fireEvent.change(await screen.findByRole("searchbox"), { target: { value: " pump-7 " } });
  await waitFor(() => expect(calls).toHaveBeenCalledWith("journal", { limit: 100, text: "pump-7" }, expect.anything()));
  fireEvent.click(await screen.findByRole("button", { name: "Show all" }));
  await screen.findByText("No pairings yet");
});

it("a journal that cannot be read says so and can be asked again", async () => {
  let locked = true;
  answerCalls({
    journal: () => {
      if (locked) throw failure("journal-locked");
      return none;
    },
  });
  await renderPage(<JournalScreen />);
  await screen.findByText("Another program holds the journal");
  locked = false;
  fireEvent.click(screen.getByRole("button", { name: "Try again" }));
  await screen.findByText("No pairings yet");
});
