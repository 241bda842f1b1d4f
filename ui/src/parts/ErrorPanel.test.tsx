import { act, fireEvent, screen } from "@testing-library/react";
import { expect, it, vi } from "vitest";
import { type CommandError, CommandFailed } from "@/platform";
import { renderPage } from "@/test-page";
import { ErrorPanel } from "./ErrorPanel";
import { Failure } from "./Failure";

const error = (code: CommandError["code"], more: Partial<CommandError> = {}): CommandError => ({
  code,
  action: "retry",
  hint: "",
  ...more,
});
/** Spaces of all kinds as one: which of them a language uses is not our business. */
const plain = (text?: string | null) => (text ?? "").replace(/\s/g, " ");

it("the details that a failure speaks of are there to be read, in the core's own words", async () => {
  const detail = "hci0: adapter is off";
  const requestId = "0c8ff1f4-7f2e-4c53-8f0e-1d1d7d3c2b1a";
  await renderPage(<ErrorPanel error={error("bluetooth-unavailable", { detail, requestId })} />);
  await screen.findByText(/The details say what is wrong/);
  fireEvent.click(screen.getByText("Details"));
  expect(await screen.findByText(detail)).toBeTruthy();
  expect(screen.getByText(requestId)).toBeTruthy();
});

it("offers no details where there are none", async () => {
  await renderPage(<ErrorPanel error={error("demo-failed")} />);
  await screen.findByText("A part of the demo did not run");
  expect(screen.queryByText("Details")).toBeNull();
});

it("says in the page's language which setting is wrong, and where it stands", async () => {
  const source = { from: "file", path: "/x/config.toml", line: 3 } as const;
  const setting = {
    code: "api-not-https",
    key: "api",
    problem: { wrong: "plain-http" },
    what: "",
    mend: "",
    source,
  } as const;
  await renderPage(<ErrorPanel error={error("settings-invalid", { detail: "own English", setting })} />, "de");
  expect(await screen.findByText(/^\/x\/config\.toml:3: api: Sie muss mit https:\/\/ beginnen/)).toBeTruthy();
  expect(screen.queryByText(/own English/)).toBeNull();
});

it("says from when on it makes sense to try again, and how long that is", async () => {
  vi.useFakeTimers({ now: new Date(2026, 10, 30, 14, 30), toFake: ["Date", "setInterval", "clearInterval"] });
  try {
    await renderPage(<ErrorPanel error={error("slot-later", { retryAfterS: 290 })} />, "de");
    const time = () => plain(document.querySelector("time")?.textContent);
    expect(time()).toBe("Frühestens: 14:34 · in 5 Minuten");
    act(() => vi.advanceTimersByTime(240_000));
    expect(time()).toBe("Frühestens: 14:34 · in 50 Sekunden");
    act(() => vi.advanceTimersByTime(60_000));
    expect(time()).toBe("Frühestens: 14:34");
  } finally {
    vi.useRealTimers();
  }
});

it("counts the wait from when it failed, not from when somebody looks; a wait until tomorrow has its day", async () => {
  const since = new Date(2026, 10, 30, 14, 30).getTime();
  vi.useFakeTimers({ now: new Date(2026, 10, 30, 18, 0), toFake: ["Date"] });
  try {
    await renderPage(<ErrorPanel error={error("slot-later", { retryAfterS: 86_400 })} since={since} />);
    expect(plain(document.querySelector("time")?.textContent)).toBe("Not before: Dec 1, 2026, 2:30 PM · in 20 hours");
  } finally {
    vi.useRealTimers();
  }
});

it("who is not allowed sees the role that is needed, named in the page's language, and can try again", async () => {
  const missingRole = { person: "Ines", has: "auditor", needs: "installer" };
  const onRetry = vi.fn();
  const thrown = error("api-forbidden", { action: "ask-administrator", missingRole, detail: "POST /v1/handoffs: 403" });
  await renderPage(<Failure error={new CommandFailed(thrown)} onRetry={onRetry} />, "de");
  expect(await screen.findByRole("heading", { name: "Dieses Konto darf das nicht" })).toBeTruthy();
  expect(screen.getByText(/Ines.*„Prüfung \(nur lesen\)“; nötig ist „Installation“/)).toBeTruthy();
  fireEvent.click(screen.getByRole("button", { name: "Erneut versuchen" }));
  expect(onRetry).toHaveBeenCalledOnce();
  fireEvent.click(screen.getByText("Details"));
  expect(await screen.findByText("POST /v1/handoffs: 403")).toBeTruthy();
});

it("without a network it can be tried again at once", async () => {
  const onRetry = vi.fn();
  await renderPage(
    <Failure error={new CommandFailed(error("offline", { action: "check-internet" }))} onRetry={onRetry} />,
  );
  fireEvent.click(await screen.findByRole("button", { name: "Try again" }));
  expect(onRetry).toHaveBeenCalledOnce();
});
