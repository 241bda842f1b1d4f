import { fireEvent, screen } from "@testing-library/react";
import { beforeEach, expect, it, vi } from "vitest";
import { setSiteWifi, siteWifi } from "@/screens/pair/starts";
import { renderPage } from "@/test-page";
import SiteWifiDialog from "./SiteWifiDialog";

const KEPT = { ssid: "Plant", ssidHex: "506c616e74", passphrase: "correct horse", hidden: true };

async function show() {
  const onClose = vi.fn();
  await renderPage(<SiteWifiDialog onClose={onClose} />);
  return { name: await screen.findByRole("textbox", { name: "Name of the network" }), onClose };
}
const type = (field: HTMLElement, value: string) => fireEvent.change(field, { target: { value } });
const use = () => fireEvent.click(screen.getByRole("button", { name: "Use it" }));

beforeEach(() => setSiteWifi(KEPT));

it("a look at the Wi-Fi leaves it as it is, password and all", async () => {
  const { onClose } = await show();
  use();
  expect(siteWifi()).toEqual(KEPT);
  expect(onClose).toHaveBeenCalled();
});

it("a password is said to be kept, and never shown", async () => {
  await show();
  expect(screen.getByText("The password is kept.")).toBeTruthy();
  expect(screen.queryByLabelText("Password")).toBeNull();
  expect(document.body.innerHTML).not.toContain("correct horse");
});

it("the password alone can be changed", async () => {
  await show();
  fireEvent.click(screen.getByRole("button", { name: "Change the password" }));
  const password = screen.getByLabelText("Password");
  expect(document.activeElement).toBe(password);
  type(password, "battery staple");
  use();
  expect(siteWifi()).toEqual({ ...KEPT, passphrase: "battery staple" });
});

it("the password can be taken away, for a network that is open by now", async () => {
  await show();
  fireEvent.click(screen.getByRole("button", { name: "Change the password" }));
  use();
  expect(siteWifi()).toEqual({ ...KEPT, passphrase: undefined });
});

it("another network does not get the password of the one before", async () => {
  const { name } = await show();
  type(name, "Office");
  expect(screen.queryByText("The password is kept.")).toBeNull();
  type(screen.getByLabelText("Password"), "battery staple");
  use();
  expect(siteWifi()).toEqual({ ssid: "Office", passphrase: "battery staple" });
});

it("an open network says no word of a password that is kept", async () => {
  setSiteWifi({ ssid: "Plant" });
  await show();
  expect(screen.queryByText("The password is kept.")).toBeNull();
  use();
  expect(siteWifi()).toEqual({ ssid: "Plant" });
});

it("no name is no Wi-Fi", async () => {
  const { name } = await show();
  type(name, " ");
  use();
  expect(siteWifi()).toBeUndefined();
});
