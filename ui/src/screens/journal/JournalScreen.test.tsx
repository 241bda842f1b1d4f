import { fireEvent, screen, waitFor } from "@testing-library/react";
import { expect, it } from "vitest";
import { answerCalls, failure, renderPage } from "@/test-page";
import { JournalScreen } from "./JournalScreen";

it("a filter with its count asks the core for just those", async () => {
  const calls = answerCalls({ journal: ({ state }) => ({ entries: [], total: state === "failed" ? 7 : 0 }) });
  await renderPage(<JournalScreen />);
  fireEvent.click(await screen.findByRole("button", { name: "Failed 7" }));
  await waitFor(() =>
    expect(calls).toHaveBeenCalledWith("journal", { limit: 100, state: "failed" }, expect.anything()),
  );
  expect(screen.getByRole("button", { name: "Failed 7" }).getAttribute("aria-pressed")).toBe("true");
});

it("a search is part of every count, and can be taken back in one click", async () => {
  const calls = answerCalls({ journal: () => ({ entries: [], total: 0 }) });
  await renderPage(<JournalScreen />);
  fireEvent.change(await screen.findByRole("searchbox"), { target: { value: " pump-7 " } });
  await waitFor(() =>
    expect(calls).toHaveBeenCalledWith("journal", { limit: 0, state: "open", text: "pump-7" }, expect.anything()),
  );
  fireEvent.click(await screen.findByRole("button", { name: "Show all" }));
  await screen.findByText("No pairings yet");
});

it("a journal that cannot be read says so and can be asked again", async () => {
  let locked = true;
  answerCalls({
    journal: () => {
      if (locked) throw failure("journal-locked");
      return { entries: [], total: 0 };
    },
  });
  await renderPage(<JournalScreen />);
  await screen.findByText("Another program holds the journal");
  locked = false;
  fireEvent.click(screen.getByRole("button", { name: "Try again" }));
  await screen.findByText("No pairings yet");
});
