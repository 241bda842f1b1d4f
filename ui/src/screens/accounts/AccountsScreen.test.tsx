import { fireEvent, screen, waitFor, within } from "@testing-library/react";
import { expect, it } from "vitest";
import type { AccountSeen } from "@/platform";
import { answerCalls, renderPage } from "@/test-page";
import { AccountsScreen } from "./AccountsScreen";

const hostile = `<img src=x onerror="document.title='taken'">`;
const account = (person: string, more: Partial<AccountSeen> = {}): AccountSeen => ({
  name: `${person}@one.example.com`,
  server: "https://one.example.com/",
  person,
  role: "installer",
  signedInAt: "2026-11-30T10:00:00Z",
  signedOut: false,
  current: false,
  hasCa: false,
  ...more,
});

it("says what signing out does before it does it, and tells what the server could not be told", async () => {
  const calls = answerCalls({
    accounts: () => ({ current: "Ines@one.example.com", all: [account("Ines", { current: true })] }),
    account_sign_out: () => ({
      account: account("Ines", { signedOut: true }),
      notRevoked: { code: "api-unreachable", action: "check-internet", hint: "" },
    }),
  });
  await renderPage(<AccountsScreen />);
  fireEvent.click(await screen.findByRole("button", { name: "Sign out" }));
  const dialog = await screen.findByRole("dialog", { name: "Sign out Ines?" });
  expect(calls).not.toHaveBeenCalledWith("account_sign_out", expect.anything());
  fireEvent.click(within(dialog).getByRole("button", { name: "Sign out" }));
  await screen.findByText(/The server could not be told/);
  expect(calls).toHaveBeenCalledWith("account_sign_out", { name: "Ines@one.example.com" });
});

it("keeps the account when the person thinks better of it", async () => {
  const calls = answerCalls({ accounts: () => ({ all: [account("Ines", { current: true })] }) });
  await renderPage(<AccountsScreen />);
  fireEvent.click(await screen.findByRole("button", { name: "Remove" }));
  const dialog = await screen.findByRole("dialog", { name: "Remove Ines?" });
  const [, cancel] = within(dialog).getAllByRole("button", { name: "Cancel" });
  if (cancel) fireEvent.click(cancel);
  await waitFor(() => expect(screen.queryByRole("dialog")).toBeNull());
  expect(calls).not.toHaveBeenCalledWith("account_remove", expect.anything());
});

it("shows a hostile name as the text that it is", async () => {
  answerCalls({ accounts: () => ({ all: [account(hostile, { tenant: hostile })] }) });
  await renderPage(<AccountsScreen />);
  expect((await screen.findAllByText(hostile)).length).toBe(2);
  expect(document.querySelector("img")).toBeNull();
});
