import { act, fireEvent, screen, waitFor } from "@testing-library/react";
import { expect, it, vi } from "vitest";
import { type About, platform, type Standing, type Streams } from "@/platform";
import { Banners } from "@/shell/Banners";
import { StandingProvider } from "@/shell/standing";
import { answerCalls, nobody, renderPage } from "@/test-page";
import { PairScreen } from "./PairScreen";

const on: Standing = { ...nobody, demo: { state: "on", devices: 3 } };

/** The first page and what stands above it, with streams that tell what the test says. */
async function first(standing: Standing) {
  answerCalls({
    about: () => ({ demoPossible: true }) as About,
    demo_stop: () => ({}),
  });
  const tell: { [N in keyof Streams]?: (event: Streams[N]["event"]) => void } = {};
  vi.spyOn(platform, "stream").mockImplementation(async (name, _, onEvent, signal) => {
    Object.assign(tell, { [name]: onEvent });
    if (name === "standing") onEvent(standing as never);
    await new Promise<void>((end) => signal.addEventListener("abort", () => end()));
  });
  await renderPage(
    <StandingProvider>
      <Banners />
      <main id="content" tabIndex={-1}>
        <PairScreen />
      </main>
    </StandingProvider>,
  );
  return tell;
}

async function press(name: string) {
  const button = await screen.findByRole("button", { name });
  button.focus();
  fireEvent.click(button);
}

it("the demo takes the keyboard along: to how it starts, to the page that it brings, and back", async () => {
  const tell = await first(nobody);
  await press("Start the demo");
  await waitFor(() => expect(document.activeElement?.textContent).toMatch(/^The demo is starting/));
  act(() => tell.standing?.(on));
  await waitFor(() => expect(document.activeElement).toBe(screen.getByRole("heading", { name: "Pair a device" })));
  await press("End the demo");
  act(() => tell.standing?.(nobody));
  await waitFor(() => expect(document.activeElement).toBe(screen.getByRole("heading", { level: 1 })));
  expect(screen.queryByRole("heading", { name: "Pair a device" })).toBeNull();
});

it("a sign-in that ends under somebody's fingers takes the keyboard along", async () => {
  const tell = await first({ ...nobody, byToken: true });
  (await screen.findByRole("button", { name: "Text" })).focus();
  act(() => tell.standing?.(nobody));
  await screen.findByRole("link", { name: "Sign in" });
  expect(document.activeElement).toBe(screen.getByRole("heading", { level: 1 }));
});

it("a page that comes by itself does not take the keyboard", async () => {
  const tell = await first(nobody);
  await screen.findByRole("button", { name: "Start the demo" });
  screen.getByRole("main").focus();
  screen.getByRole("main").blur();
  act(() => tell.standing?.(on));
  await screen.findByRole("heading", { name: "Pair a device" });
  expect(document.activeElement).toBe(document.body);
});
