import { screen } from "@testing-library/react";
import { expect, it } from "vitest";
import type { NearbyDevice, Usable } from "@/platform";
import { renderPage } from "@/test-page";
import { NearbyList } from "./NearbyList";

const port = (usable: Usable): NearbyDevice => ({
  link: `serial:///dev/tty-${usable.state}`,
  name: usable.state,
  kind: "serial-port",
  via: "serial",
  usable,
});

it("says in the page's language what is in the way of a port", async () => {
  const mend = "the core's own English";
  const devices = [port({ state: "permission-denied", mend }), port({ state: "busy", mend })];
  await renderPage(<NearbyList nearby={{ devices, sources: [] }} onChoose={() => {}} />, "de");
  expect(await screen.findByRole("button", { name: /permission-denied.*Kein Zugriff.*dialout/ })).toBeTruthy();
  expect(screen.getByRole("button", { name: /busy.*Das Programm schließen/ })).toBeTruthy();
  expect(screen.queryByText(/own English/)).toBeNull();
});

it("says what the core says of what is newer than this page", async () => {
  const newer = { state: "asleep", mend: "wake it" } as unknown as Usable;
  await renderPage(<NearbyList nearby={{ devices: [port(newer)], sources: [] }} onChoose={() => {}} />, "de");
  expect(await screen.findByText("wake it")).toBeTruthy();
});
