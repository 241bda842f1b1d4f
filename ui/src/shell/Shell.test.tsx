import { screen } from "@testing-library/react";
import { expect, it, vi } from "vitest";
import { platform, type Standing } from "@/platform";
import { answerCalls, renderPage } from "@/test-page";
import { Shell } from "./Shell";
import { StandingProvider } from "./standing";

const nobody: Standing = {
  byToken: false,
  online: true,
  demo: { state: "off", devices: 0 },
  running: 0,
  unfinished: 0,
  untold: 0,
};

async function foot(standing: Standing) {
  answerCalls({});
  vi.spyOn(platform, "stream").mockImplementation(async (_, __, onEvent) => {
    onEvent(standing as never);
    await new Promise(() => {});
  });
  await renderPage(
    <StandingProvider>
      <Shell />
    </StandingProvider>,
  );
}

it("the foot says that a token signs in where there is no account", async () => {
  await foot({ ...nobody, byToken: true });
  expect(await screen.findByRole("link", { name: "Signed in by a token" })).toBeTruthy();
});

it("the foot says that nobody is signed in", async () => {
  await foot(nobody);
  expect(await screen.findByRole("link", { name: "Not signed in" })).toBeTruthy();
});
