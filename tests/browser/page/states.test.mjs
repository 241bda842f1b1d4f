// The states that a screen comes to when something is done on it, on a phone and at a desk, by day and by night: for everybody, and for fingers.
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { isForEverybody, isForFingers, LOOKS, picture, start } from "../chromium.mjs";
import { startField, startGateway } from "../gateway.mjs";
import { comeIn, enterLabel, open, paired, settled, words } from "./person.mjs";

/** As long as a device's name can be, and as hostile. */
const NAME = `Pump "'><img src=x onerror=alert(1)> of the third hall in the north wing`;

const pair = words("en", "pair");
const bench = words("en", "bench");
const scanner = words("en", "scanner");

let field, gateway, alone, browser;

before(async () => {
  const devices = ["pump-1", ...LOOKS.map(({ name }) => `pump-${name}`)];
  field = await startField({ devices, site: NAME, wifi: "Plant 4:cold-room-4" });
  gateway = await startGateway(field.access);
  // Nobody is signed in here, and no demo is on.
  alone = await startGateway();
  browser = await start([gateway.certificate, alone.certificate]);
});

after(async () => {
  await browser?.close();
  await gateway?.stop();
  await alone?.stop();
  await field?.stop();
});

const labelOf = (device, changes = {}) => JSON.stringify({ ...device.label, name: NAME, transport: undefined, ...changes });

for (const look of LOOKS) {
  const { name, ...as } = look;
  const phone = as.hasTouch;

  async function holds(page, state) {
    const what = `${state} ${name}`;
    assert.equal(await page.locator("[data-code=internal]").count(), 0, `${what}: called a fault of the program`);
    await isForEverybody(page, what);
    if (phone) await isForFingers(page, what);
    await picture(page, `state-${state}-${name}`);
  }

  /** Enters a label that does not say where its device is, and then where. */
  async function pairAt(page, device, changes, latency = 0) {
    await page.goto(gateway.url);
    await enterLabel(page, labelOf(device, changes));
    const dialog = page.getByRole("dialog");
    await dialog.getByRole("textbox", { name: "Address" }).fill(latency ? `${device.link}?latency_ms=${latency}` : device.link);
    return dialog;
  }

  test(`${name}: before the gateway knows the browser`, async () => {
    const { page, done } = await open(browser, as);
    await page.goto(alone.url);
    const code = page.getByLabel("Code", { exact: true });
    await code.waitFor();
    await holds(page, "code");
    await code.fill("AAAA-AAAA");
    await page.getByRole("button", { name: "Continue" }).click();
    await page.getByRole("alert").waitFor();
    await holds(page, "code-wrong");
    await done();
  });

  test(`${name}: before anybody is signed in`, async () => {
    const { page, done } = await open(browser, as);
    await comeIn(page, alone);
    await page.getByRole("button", { name: "Start the demo" }).waitFor();
    await holds(page, "welcome");
    for (const path of ["/sign-in", "/more", "/nowhere", "/pair/00000000-0000-4000-8000-000000000000", "/journal/00000000-0000-4000-8000-000000000000", "/orders"]) {
      await page.goto(alone.url + path);
      await settled(page);
      const code = { pair: "pairing-forgotten", journal: "journal-no-entry", orders: "api-token-missing" }[path.split("/")[1]];
      if (code) await page.getByRole("alert").getByText(code).waitFor();
      await holds(page, path.split("/", 2)[1] + (path.split("/").length > 2 ? "-unknown" : ""));
    }
    await page.goto(`${alone.url}/sign-in`);
    await page.getByText(words("en", "accounts")("in.way.device-code"), { exact: true }).click();
    await holds(page, "sign-in-code");
    await done();
  });

  test(`${name}: a pairing in all that can become of it, its journal, and the bench`, async () => {
    const { page, done } = await open(browser, as);
    await comeIn(page, gateway);
    const device = field.devices.find(({ registrationId }) => registrationId === `pump-${name}`);
    const go = (dialog) => dialog.getByRole("button", { name: "Pair", exact: true }).click();

    const dialog = await pairAt(page, device, {});
    await holds(page, "address");
    await page.keyboard.press("Escape");
    await dialog.waitFor({ state: "detached" });
    await enterLabel(page, "https://example.com/manual.pdf");
    await page.getByRole("alert").getByText("label-not-a-label").waitFor();
    await holds(page, "no-label");

    await go(await pairAt(page, device, {}, 500));
    await page.getByRole("button", { name: "Cancel" }).waitFor();
    await holds(page, "running");
    await page.getByRole("button", { name: "Cancel" }).click();
    await page.getByRole("region", { name: "Cancelled" }).waitFor();
    await holds(page, "cancelled");

    await go(await pairAt(page, device, { pop: "wrong-code" }));
    await page.getByRole("alert").getByText("wrong-pop").waitFor({ timeout: 60_000 });
    await holds(page, "wrong-pop");

    await go(await pairAt(page, device, {}));
    const network = page.getByRole("radio", { name: "Plant 4" });
    await network.waitFor({ timeout: 60_000 });
    await holds(page, "wifi");
    await network.click();
    await page.getByLabel(pair("wifi.passphraseOf").replace("{{name}}", "Plant 4")).fill("cold-room-4");
    await holds(page, "wifi-password");
    await page.getByRole("button", { name: pair("wifi.go"), exact: true }).click();
    await paired(page);
    await holds(page, "paired");

    await page.goto(`${gateway.url}/journal`);
    await settled(page);
    await page.getByText(NAME).or(page.getByText(`pump-${name}`)).first().waitFor();
    await holds(page, "journal");
    await page.getByRole("main").getByRole("link").first().click();
    await page.waitForURL(/\/journal\/./);
    await settled(page);
    await holds(page, "journal-entry");

    await page.goto(`${gateway.url}/orders`);
    await page.getByText(NAME).first().waitFor();
    await holds(page, "orders-some");
    await done();
  });

  test(`${name}: a bench with devices on it, their Wi-Fi, and what went wrong`, async () => {
    const { page, done } = await open(browser, as);
    await comeIn(page, gateway, "/bench");
    await settled(page);
    await page.getByRole("button", { name: bench("add.open") }).first().click();
    await holds(page, "bench-add");
    const device = field.devices.find(({ registrationId }) => registrationId === `pump-${name}`);
    const wrong = JSON.stringify({ ...device.label, name: NAME, pop: "wrong-code" });
    await page.getByRole("button", { name: scanner("text"), exact: true }).click();
    const text = page.getByRole("textbox", { name: scanner("typed.labels") });
    await text.fill(`${wrong}\nhttps://example.com/manual.pdf`);
    await page.getByRole("button", { name: /^Add 2/ }).click();
    await page.getByText(/^Lines? 1: /).first().waitFor();
    await holds(page, "bench-line-wrong");
    await page.getByRole("button", { name: bench("add.done"), exact: true }).click();
    await page.getByText(NAME).first().waitFor();
    assert.equal(await page.locator("img[src=x]").count(), 0);
    await holds(page, "bench-ready");
    await page.getByText(bench("wifi.none")).click();
    await page.getByRole("dialog").waitFor();
    await holds(page, "bench-wifi");
    await page.keyboard.press("Escape");
    await page.getByRole("dialog").waitFor({ state: "detached" });
    await page.getByRole("button", { name: /^Start / }).click();
    await page.getByRole("button", { name: bench("tile.again").replace("{{name}}", NAME) }).waitFor({ timeout: 60_000 });
    await holds(page, "bench-failed");
    await done();
  });
}
