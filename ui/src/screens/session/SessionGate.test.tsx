import { fireEvent, screen, waitFor } from "@testing-library/react";
import { expect, it, vi } from "vitest";
import { platform } from "@/platform";
import { useCall } from "@/platform/react";
import { answerCalls, failure, renderPage } from "@/test-page";
import { SessionGate } from "./SessionGate";

function Asks() {
  const about = useCall("about", {});
  return (
    <button type="button" onClick={() => void about.refetch()}>
      page
    </button>
  );
}

const page = (
  <SessionGate>
    <Asks />
  </SessionGate>
);

async function giveCode() {
  fireEvent.change(await screen.findByRole("textbox"), { target: { value: "ABCD-EFGH" } });
  fireEvent.click(screen.getByRole("button"));
}

it("a browser that is known no longer begins anew with the next code: it may be somebody else's", async () => {
  const call = answerCalls({ about: () => ({}) as never });
  vi.spyOn(location, "reload").mockImplementation(() => undefined);
  platform.openSession = vi.fn(async () => undefined);
  await renderPage(page);
  const shown = await screen.findByRole("button", { name: "page" });
  call.mockRejectedValue(failure("gateway-session-missing"));
  fireEvent.click(shown);
  await giveCode();
  await waitFor(() => expect(location.reload).toHaveBeenCalled());
});

it("a browser that was never known goes on from the code to the page", async () => {
  const call = answerCalls({});
  call.mockRejectedValue(failure("gateway-session-missing"));
  platform.openSession = vi.fn(async () => {
    call.mockResolvedValue({} as never);
  });
  await renderPage(page);
  await giveCode();
  expect(await screen.findByRole("button", { name: "page" })).toBeTruthy();
});
