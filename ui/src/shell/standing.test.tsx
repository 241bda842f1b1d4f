import { act, screen, waitFor } from "@testing-library/react";
import { expect, it, vi } from "vitest";
import { type OrdersSeen, platform, type Standing } from "@/platform";
import { useCall } from "@/platform/react";
import { answerCalls, nobody, renderPage } from "@/test-page";
import { StandingProvider } from "./standing";

const none = { total: 0, entries: [], counts: [] } as never;

/** Stands where the core would be: how things stand, as the test says it. */
async function standing(shown: React.ReactNode, first: Standing) {
  let tell: (standing: Standing) => void = () => undefined;
  vi.spyOn(platform, "stream").mockImplementation(async (_, __, onEvent) => {
    tell = onEvent as never;
    tell(first);
    await new Promise(() => {});
  });
  await renderPage(<StandingProvider>{shown}</StandingProvider>);
  return (next: Standing) => act(() => tell(next));
}

function Orders() {
  const orders = useCall("orders", {});
  return <p>{orders.data ? `orders of ${JSON.stringify(orders.data)}` : "loading"}</p>;
}

const account = (name: string) => ({ ...nobody, account: { name } as never });

it("whoever signs in sees nothing of what was shown to somebody else", async () => {
  let answer: (orders: OrdersSeen) => void = () => undefined;
  const call = answerCalls({ orders: () => "Ines" as never });
  const tell = await standing(<Orders />, account("ines@hq"));
  expect(await screen.findByText('orders of "Ines"')).toBeTruthy();
  call.mockImplementation(() => new Promise((resolve) => (answer = resolve as never)) as never);
  tell(account("otto@hq"));
  expect(await screen.findByText("loading")).toBeTruthy();
  act(() => answer("Otto" as never));
  expect(await screen.findByText('orders of "Otto"')).toBeTruthy();
});

it("when the demo ends, nothing of it stays on the page", async () => {
  const call = answerCalls({ orders: () => "demo" as never });
  const on: Standing = { ...nobody, demo: { state: "on", devices: 3 } };
  const tell = await standing(<Orders />, on);
  expect(await screen.findByText('orders of "demo"')).toBeTruthy();
  call.mockImplementation(() => new Promise(() => {}) as never);
  tell({ ...on, demo: { state: "stopping" as never, devices: 3 } });
  expect(await screen.findByText("loading")).toBeTruthy();
});

function Journal() {
  useCall("journal", {} as never);
  return null;
}

it("the journal follows pairings that begin, end, or are told, and nothing else", async () => {
  const call = answerCalls({ journal: () => none });
  const tell = await standing(<Journal />, nobody);
  const asked = () => call.mock.calls.filter(([name]) => name === "journal").length;
  await waitFor(() => expect(asked()).toBe(1));
  tell({ ...nobody, running: 1, unfinished: 1 });
  await waitFor(() => expect(asked()).toBe(2));
  tell({ ...nobody, untold: 1 });
  await waitFor(() => expect(asked()).toBe(3));
  tell(nobody);
  await waitFor(() => expect(asked()).toBe(4));
  tell({ ...nobody, online: false });
  tell({ ...nobody, running: 1 });
  await waitFor(() => expect(asked()).toBe(5));
});
