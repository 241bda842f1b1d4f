import { act, fireEvent, screen, waitFor } from "@testing-library/react";
import { expect, it, vi } from "vitest";
import type { CommandError, WifiNetwork } from "@/platform";
import { answerCalls, failure, renderPage } from "@/test-page";
import type { Wifi } from "./starts";
import { WifiForm } from "./WifiForm";

const network = (ssid: string, more: Partial<WifiNetwork> = {}): WifiNetwork => ({
  ssid,
  rssi: -50,
  channel: 6,
  auth: "wpa2",
  bssid: `02:00:00:00:00:${ssid.length.toString().padStart(2, "0")}`,
  accessPoints: 1,
  joinable: true,
  ...more,
});
const PLANT = network("Plant");
const GUESTS = network("Guests", { auth: "open", rssi: -60 });
const OFFICE = network("Office 5", { auth: "enterprise", joinable: false, reason: "enterprise" });
const NAMELESS = network("", { joinable: false, reason: "hidden" });

async function show({
  networks = () => [PLANT, GUESTS, OFFICE, NAMELESS],
  code = "network-needed",
  before,
}: {
  networks?: () => WifiNetwork[] | Promise<WifiNetwork[]>;
  code?: CommandError["code"];
  before?: Wifi;
} = {}) {
  const calls = answerCalls({ wifi_networks: networks });
  const onWifi = vi.fn();
  const { error } = failure(code, { action: "check-wifi" });
  await renderPage(
    <WifiForm error={error} device={{ labelId: "label", link: "ble://" }} before={before} onWifi={onWifi} />,
  );
  await screen.findByRole("alert");
  return { calls, onWifi };
}
const listed = (name: string) => screen.findByRole("radio", { name: new RegExp(name) });
const go = () => screen.getByRole<HTMLButtonElement>("button", { name: "Join and go on" });
const type = (field: HTMLElement, value: string) => fireEvent.change(field, { target: { value } });
const press = (name: string) => fireEvent.click(screen.getByRole("button", { name }));

it("lists the networks that the device sees; what it cannot join cannot be chosen", async () => {
  await show();
  expect(await listed("Plant")).toHaveProperty("disabled", false);
  expect(await listed("Office 5")).toHaveProperty("disabled", true);
  expect((await listed("Without a name")).textContent).toContain("Cannot be joined");
  expect(go().disabled).toBe(true);
});

it("asks for nothing while the device still looks", async () => {
  await show({ networks: () => new Promise(() => {}) });
  await screen.findByRole("status", { name: "The device looks for networks" });
  expect(screen.queryByRole("textbox")).toBeNull();
  expect(screen.queryByLabelText("Password")).toBeNull();
  expect(go().disabled).toBe(true);
});

it("gives a network with its password, once that is long enough", async () => {
  const { onWifi } = await show();
  fireEvent.click(await listed("Plant"));
  const password = screen.getByLabelText("Password of Plant");
  expect(document.activeElement).toBe(password);
  type(password, "correct");
  expect(go().disabled).toBe(true);
  type(password, "correct horse");
  fireEvent.click(go());
  expect(onWifi).toHaveBeenCalledWith({ ssid: "Plant", passphrase: "correct horse" });
});

it("asks no password of an open network", async () => {
  const { onWifi } = await show();
  fireEvent.click(await listed("Guests"));
  expect(screen.queryByLabelText(/^Password/)).toBeNull();
  fireEvent.click(go());
  expect(onWifi).toHaveBeenCalledWith({ ssid: "Guests" });
});

it("gives a network whose name is no text by its bytes", async () => {
  const { onWifi } = await show({ networks: () => [network("Caf\\xe9", { ssidHex: "436166e9", auth: "open" })] });
  fireEvent.click(await listed("Caf"));
  fireEvent.click(go());
  expect(onWifi).toHaveBeenCalledWith({ ssid: "Caf\\xe9", ssidHex: "436166e9" });
});

it("takes the name of a network that does not tell it", async () => {
  const { onWifi } = await show();
  await listed("Plant");
  press("Another network");
  type(screen.getByRole("textbox", { name: "Name of the network" }), "Vault");
  type(screen.getByLabelText("Password"), "correct horse");
  fireEvent.click(go());
  expect(onWifi).toHaveBeenCalledWith({ ssid: "Vault", passphrase: "correct horse", hidden: true });
});

it("comes back to the network whose password was wrong, and to its password alone", async () => {
  const { onWifi } = await show({ code: "wifi-wrong-password", before: { ssid: "Plant", passphrase: "wrong horse" } });
  const password = await screen.findByLabelText("Password of Plant");
  expect((await listed("Plant")).getAttribute("aria-checked")).toBe("true");
  expect(password).toHaveProperty("value", "");
  type(password, "correct horse");
  fireEvent.click(go());
  expect(onWifi).toHaveBeenCalledWith({ ssid: "Plant", passphrase: "correct horse" });
});

it("comes back to the name of a hidden network whose password was wrong", async () => {
  const before = { ssid: "Vault", passphrase: "wrong horse", hidden: true };
  const { onWifi } = await show({ code: "wifi-wrong-password", before });
  await screen.findByRole("button", { name: "Networks in reach" });
  expect(screen.getByRole("textbox", { name: "Name of the network" })).toHaveProperty("value", "Vault");
  type(screen.getByLabelText("Password"), "correct horse");
  fireEvent.click(go());
  expect(onWifi).toHaveBeenCalledWith({ ssid: "Vault", passphrase: "correct horse", hidden: true });
});

it("has networks looked for again after the device could not, and takes a name meanwhile", async () => {
  let lost = true;
  await show({
    networks: () => {
      if (lost) throw failure("device-busy");
      return [PLANT];
    },
  });
  await screen.findByText("device-busy");
  expect(screen.getByRole("textbox", { name: "Name of the network" })).toBeTruthy();
  lost = false;
  press("Look again");
  await listed("Plant");
  expect(screen.queryByText("device-busy")).toBeNull();
  expect(screen.queryByRole("textbox", { name: "Name of the network" })).toBeNull();
});

it("keeps the list, and the choice, where looking again fails", async () => {
  let lost = false;
  await show({
    networks: () => {
      if (lost) throw failure("device-busy");
      return [PLANT];
    },
  });
  fireEvent.click(await listed("Plant"));
  lost = true;
  press("Look again");
  await screen.findByText("device-busy");
  expect((await listed("Plant")).getAttribute("aria-checked")).toBe("true");
  expect(screen.queryByRole("textbox", { name: "Name of the network" })).toBeNull();
  expect(screen.getByRole("button", { name: "Another network" })).toBeTruthy();
});

it("keeps the choice when the device looks again and hears it otherwise", async () => {
  let rssi = -50;
  await show({ networks: () => [network("Plant", { rssi, bssid: `02:00:00:00:00:${-rssi}` }), GUESTS] });
  fireEvent.click(await listed("Plant"));
  type(screen.getByLabelText("Password of Plant"), "correct horse");
  rssi = -70;
  press("Look again");
  await screen.findByRole("img", { name: "-70 dBm" });
  expect((await listed("Plant")).getAttribute("aria-checked")).toBe("true");
  expect((await listed("Guests")).getAttribute("aria-checked")).toBe("false");
  expect(screen.getByLabelText("Password of Plant")).toHaveProperty("value", "correct horse");
});

it("takes a name where the device hears no network any more", async () => {
  let heard = [PLANT];
  const { onWifi } = await show({ networks: () => heard });
  fireEvent.click(await listed("Plant"));
  heard = [];
  press("Look again");
  type(await screen.findByRole("textbox", { name: "Name of the network" }), "Guests");
  fireEvent.click(go());
  expect(onWifi).toHaveBeenCalledWith({ ssid: "Guests", hidden: false });
});

it("tells an open network from one of the same name that is not", async () => {
  await show({ networks: () => [PLANT, network("Plant", { auth: "open", bssid: "02:00:00:00:00:99" })] });
  await screen.findByRole("radiogroup");
  const [locked, open] = screen.getAllByRole("radio", { name: /Plant/ });
  fireEvent.click(open as HTMLElement);
  expect([locked, open].map((each) => each?.getAttribute("aria-checked"))).toEqual(["false", "true"]);
});

it("asks the device once, however often somebody comes back from an app with passwords", async () => {
  const { calls } = await show();
  await listed("Plant");
  for (let time = 0; time < 3; time += 1) {
    await act(async () => void window.dispatchEvent(new Event("visibilitychange")));
  }
  await waitFor(() => expect(screen.queryByRole("button", { name: "Look again" })).toBeTruthy());
  expect(calls.mock.calls.filter(([name]) => name === "wifi_networks")).toHaveLength(1);
});
