import { fireEvent, screen, waitFor, within } from "@testing-library/react";
import { beforeEach, describe, expect, it, vi } from "vitest";
import { type CommandError, type PairingSeen, platform } from "@/platform";
import { setSiteWifi } from "@/screens/pair/starts";
import { type Answers, answerCalls, failure, renderPage } from "@/test-page";
import { BenchScreen } from "./BenchScreen";
import { bench } from "./bench";

/** The bench with these devices on it; no pairing says anything. */
async function show(names: string[], answers: Answers = {}) {
  const calls = answerCalls({ pairings: () => [], ...answers });
  vi.spyOn(platform, "stream").mockImplementation(() => new Promise(() => {}));
  for (const name of names) bench.add({ key: `label of ${name}`, name, link: "ble://" });
  const page = await renderPage(<BenchScreen />);
  await screen.findByRole("list", { name: "Devices on the bench" });
  return { ...page, calls };
}

/** Starts the one device that is there, and is refused. */
async function refused(code: CommandError["code"], action: CommandError["action"]) {
  const page = await show(["pump-1"], {
    pairing_start: () => {
      throw failure(code, { action, detail: "what support wants to know" });
    },
  });
  fireEvent.click(screen.getByRole("button", { name: "Start 1" }));
  fireEvent.click(await screen.findByRole("button", { name: /^pump-1 Failed/ }));
  return { ...page, dialog: within(await screen.findByRole("dialog", { name: "pump-1" })) };
}

beforeEach(() => {
  bench.clear("ready", "waiting", "running", "paired", "failed");
  setSiteWifi(undefined);
});

describe("a device whose pairing could not even be begun", () => {
  it("says on its tile what to do, and in its dialog has the button that does it and the details", async () => {
    const { router, dialog } = await refused("api-token-missing", "sign-in-again");
    expect(screen.getByRole("listitem").textContent).toContain("Sign in, then try again.");
    expect(dialog.getByText("Not signed in")).toBeTruthy();
    expect(dialog.getByText("api-token-missing")).toBeTruthy();
    expect(dialog.getByRole("button", { name: "Copy details" })).toBeTruthy();
    fireEvent.click(dialog.getByRole("button", { name: "Sign in" }));
    await waitFor(() => expect(router.state.location.pathname).toBe("/sign-in"));
  });

  it("is begun again from its dialog, where waiting was all there was to do", async () => {
    const { calls, dialog } = await refused("too-many-pairings", "wait");
    expect(dialog.getByText("Wait until some have ended.")).toBeTruthy();
    fireEvent.click(dialog.getByRole("button", { name: "Try again" }));
    await waitFor(() => expect(calls.mock.calls.filter(([name]) => name === "pairing_start")).toHaveLength(2));
  });

  it("has its label scanned again here, where it is forgotten", async () => {
    const { router, dialog } = await refused("label-forgotten", "check-label");
    fireEvent.click(dialog.getByRole("button", { name: "Scan the label again" }));
    await screen.findByRole("region", { name: "Add devices" });
    expect(screen.queryByRole("dialog")).toBeNull();
    expect(router.state.location.pathname).toBe("/");
  });

  it("has the Wi-Fi of all changed, where that was refused", async () => {
    const { dialog } = await refused("wifi-invalid", "check-wifi");
    fireEvent.click(dialog.getByRole("button", { name: "Change the Wi-Fi" }));
    await screen.findByRole("dialog", { name: "Wi-Fi for the devices" });
  });
});

it("a device that was put there by mistake can be taken away, and the keyboard stays with the next one", async () => {
  await show(["pump-1", "pump-2"]);
  const remove = screen.getByRole("button", { name: "Remove pump-1" });
  remove.focus();
  fireEvent.click(remove);
  await waitFor(() => expect(screen.queryByText("pump-1")).toBeNull());
  expect(bench.order()).toEqual(["label of pump-2"]);
  const next = screen.getByText("pump-2").closest("li");
  expect(next?.contains(document.activeElement)).toBe(true);
});

it("a device that runs has nothing to take it away with", async () => {
  await show(["pump-1"], { pairing_start: () => ({ pairingId: "one" }) });
  fireEvent.click(screen.getByRole("button", { name: "Start 1" }));
  await screen.findByText("Starting", { selector: ".unseen" });
  expect(screen.queryByRole("button", { name: "Remove pump-1" })).toBeNull();
});

it("a device that failed and was then paired on its own page is paired here, too", async () => {
  const seen = (pairingId: string, state: PairingSeen["state"]): PairingSeen => ({
    pairingId,
    state,
    labelId: "label of pump-1",
    name: "pump-1",
    link: "ble://",
    startedAt: "2026-11-30T08:00:00Z",
    demo: false,
  });
  const all = [seen("first", "failed")];
  answerCalls({ pairings: () => all, pairing_start: () => ({ pairingId: "first" }) });
  vi.spyOn(platform, "stream").mockImplementation(async (_, args, onEvent) => {
    const end = { event: "finished", hub: "north.example.net", seconds: 2 };
    const first = (args as { pairingId: string }).pairingId === "first";
    onEvent((first ? { event: "failed", code: "network-needed", action: "check-wifi", hint: "" } : end) as never);
  });
  bench.add({ key: "label of pump-1", name: "pump-1", link: "ble://" });
  const { unmount } = await renderPage(<BenchScreen />);
  fireEvent.click(await screen.findByRole("button", { name: "Start 1" }));
  await screen.findByRole("button", { name: "Try 1 again" });
  unmount();
  all.unshift(seen("again", "finished"));
  await renderPage(<BenchScreen />);
  await screen.findByText("north");
  expect(screen.queryByRole("button", { name: "Try 1 again" })).toBeNull();
});
