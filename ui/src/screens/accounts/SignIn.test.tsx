import { act, fireEvent, screen, waitFor } from "@testing-library/react";
import { expect, it, vi } from "vitest";
import { platform, type SignInEvent } from "@/platform";
import { answerCalls, renderPage } from "@/test-page";
import { QrPicture } from "./QrPicture";
import { SignInWays } from "./SignIn";

/** Stands where the core's stream would be; what is told is told when the test says so. */
function signInStream() {
  const seen: { args?: unknown; signal?: AbortSignal; tell?: (event: SignInEvent) => void } = {};
  vi.spyOn(platform, "stream").mockImplementation(async (_, args, onEvent, signal) => {
    Object.assign(seen, { args, signal, tell: onEvent });
    await new Promise<void>((end) => signal.addEventListener("abort", () => end()));
  });
  return seen;
}

it("shows where an invite leads before it is used up", async () => {
  const calls = answerCalls({
    invite_read: () => ({ inviteId: "i-1", server: "https://one.example.com/", host: "one.example.com" }),
  });
  const stream = signInStream();
  await renderPage(<SignInWays invite="lowtouch:invite#abc" />);
  await screen.findByText("one.example.com");
  expect(calls).toHaveBeenCalledWith("invite_read", { text: "lowtouch:invite#abc" });
  expect(stream.args).toBeUndefined();
  fireEvent.click(screen.getByRole("button", { name: "Sign in" }));
  await waitFor(() => expect(stream.args).toEqual({ way: "invite", inviteId: "i-1" }));
});

it("shows page, code and QR code for another screen, and cancelling ends it in the core", async () => {
  answerCalls({});
  const stream = signInStream();
  await renderPage(<SignInWays />);
  fireEvent.click(await screen.findByRole("button", { name: "Code on another screen" }));
  fireEvent.change(screen.getByRole("textbox", { name: "Server address" }), { target: { value: "one.example.com" } });
  fireEvent.click(screen.getByRole("button", { name: "Sign in" }));
  await waitFor(() => expect(stream.args).toEqual({ way: "device-code", server: "https://one.example.com" }));
  act(() =>
    stream.tell?.({
      event: "device-code",
      url: "https://login.example.com/device",
      code: "WDJB-MJHT",
      expiresAt: new Date(Date.now() + 600_000).toISOString(),
    }),
  );
  expect((await screen.findByRole("status", { name: "Code" })).textContent).toBe("WDJB-MJHT");
  expect(screen.getByRole("img", { name: "QR code of the page" })).toBeTruthy();
  fireEvent.click(screen.getByRole("button", { name: "Cancel" }));
  await screen.findByRole("button", { name: "Invite" });
  expect(stream.signal?.aborted).toBe(true);
});

it("the keyboard goes along to what is waited for, where the code is read out, and back", async () => {
  answerCalls({});
  const stream = signInStream();
  await renderPage(
    <main id="content">
      <h1>Sign in</h1>
      <SignInWays />
    </main>,
  );
  fireEvent.click(await screen.findByRole("button", { name: "Code on another screen" }));
  fireEvent.change(screen.getByRole("textbox", { name: "Server address" }), { target: { value: "one.example.com" } });
  const signIn = screen.getByRole("button", { name: "Sign in" });
  signIn.focus();
  fireEvent.click(signIn);
  const waiting = await screen.findByRole("region", { name: "Waiting for the server" });
  expect(document.activeElement).toBe(waiting);
  // What is busy is not read out, and the code is to be.
  expect([waiting.getAttribute("aria-live"), waiting.getAttribute("aria-busy")]).toEqual(["polite", null]);
  await waitFor(() => expect(stream.args).toBeDefined());
  const cancel = screen.getByRole("button", { name: "Cancel" });
  cancel.focus();
  fireEvent.click(cancel);
  await screen.findByRole("button", { name: "Invite" });
  expect(document.activeElement).toBe(screen.getByRole("heading", { name: "Sign in" }));
});

it("the keyboard goes along to where an invite leads", async () => {
  answerCalls({
    invite_read: () => ({ inviteId: "i-1", server: "https://one.example.com/", host: "one.example.com" }),
  });
  signInStream();
  await renderPage(<SignInWays />);
  fireEvent.click(await screen.findByRole("button", { name: "Text" }));
  const text = screen.getByRole("textbox");
  fireEvent.change(text, { target: { value: "lowtouch:invite#abc" } });
  text.focus();
  fireEvent.submit(text.closest("form") as HTMLFormElement);
  const found = await screen.findByRole("region", { name: "This invite signs in at one.example.com" });
  expect(document.activeElement).toBe(found);
});

it("asks for a server rather than for the core's refusal", async () => {
  answerCalls({});
  const stream = signInStream();
  await renderPage(<SignInWays />);
  fireEvent.click(await screen.findByRole("button", { name: "Code on another screen" }));
  fireEvent.click(screen.getByRole("button", { name: "Sign in" }));
  await screen.findByText("Enter the server’s address.");
  expect(stream.args).toBeUndefined();
});

it("goes without a QR code where the address is too long for one", async () => {
  const { container } = await renderPage(<QrPicture text={"x".repeat(5000)} label="QR" />);
  expect(container.querySelector("svg")).toBeNull();
});
