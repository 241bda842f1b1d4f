import { fireEvent, screen, waitFor } from "@testing-library/react";
import { expect, it, vi } from "vitest";
import { type PairingSeen, platform } from "@/platform";
import { answerCalls, failure, renderPage } from "@/test-page";
import { PairingScreen } from "./PairingScreen";
import { startPairing } from "./starts";

const SEEN: PairingSeen = {
  pairingId: "one",
  labelId: "label",
  name: "pump-1",
  link: "ble://",
  startedAt: "2026-11-30T08:00:00Z",
  state: "failed",
  demo: false,
};

it("a device that wants Wi-Fi looks for networks as it was to be paired, and is paired so again", async () => {
  const calls = answerCalls({
    pairings: () => [SEEN],
    pairing_start: () => ({ pairingId: "one" }),
    wifi_networks: () => {
      throw failure("wifi-scan-failed");
    },
  });
  vi.spyOn(platform, "stream").mockImplementation(async (_, __, onEvent) =>
    onEvent({ event: "failed", code: "network-needed", action: "check-wifi", hint: "" } as never),
  );
  await startPairing({ labelId: "label", link: "ble://", allowSecurity0: true });
  await renderPage(<PairingScreen pairingId="one" />);
  fireEvent.change(await screen.findByRole("textbox", { name: "Name of the network" }), { target: { value: "Plant" } });
  const asked = { labelId: "label", link: "ble://", allowSecurity0: true };
  expect(calls).toHaveBeenCalledWith("wifi_networks", asked, expect.anything());
  fireEvent.click(screen.getByRole("button", { name: "Join and go on" }));
  await waitFor(() =>
    expect(calls).toHaveBeenCalledWith("pairing_start", { ...asked, wifi: { ssid: "Plant", hidden: false } }),
  );
});
