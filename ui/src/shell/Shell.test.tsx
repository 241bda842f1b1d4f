import { screen } from "@testing-library/react";
import type { ReactNode } from "react";
import { expect, it, vi } from "vitest";
import { platform, type Standing } from "@/platform";
import { answerCalls, nobody, renderPage } from "@/test-page";
import { MoreScreen } from "./MoreScreen";
import { Shell } from "./Shell";
import { StandingProvider } from "./standing";

async function show(page: ReactNode, standing: Standing, language = "en") {
  answerCalls({});
  vi.spyOn(platform, "stream").mockImplementation(async (_, __, onEvent) => {
    onEvent(standing as never);
    await new Promise(() => {});
  });
  await renderPage(<StandingProvider>{page}</StandingProvider>, language);
}

it("the foot says that a token signs in where there is no account", async () => {
  await show(<Shell />, { ...nobody, byToken: true });
  expect(await screen.findByRole("link", { name: "Signed in by a token" })).toBeTruthy();
});

it("the foot says that nobody is signed in", async () => {
  await show(<Shell />, nobody);
  expect(await screen.findByRole("link", { name: "Not signed in" })).toBeTruthy();
});

it.each([
  ["Signed in by a token", { ...nobody, byToken: true }],
  ["Not signed in", nobody],
])("a phone's way to the accounts says the same: %s", async (words, standing) => {
  await show(<MoreScreen />, standing);
  expect(await screen.findByRole("link", { name: `Accounts ${words}` })).toBeTruthy();
});

it("many unfinished pairings are counted as the language writes numbers", async () => {
  await show(<Shell />, { ...nobody, unfinished: 12_345 }, "de");
  expect(await screen.findByText("12.345")).toBeTruthy();
  expect(screen.getByTitle("12.345 unfertige Kopplungen")).toBeTruthy();
});
