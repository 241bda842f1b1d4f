// As in the field: a provisioning API and devices that are nobody's demo, wrong codes, and words that mean harm.
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { picture, start } from "../chromium.mjs";
import { startField, startGateway } from "../gateway.mjs";
import { comeIn, enterLabel, open, paired, SCREENS, settled } from "./person.mjs";

/** Would run if it were put into a page as it is. */
const HOSTILE = `Plant "'><img src=x onerror=alert(1)><script>alert(2)</script>{{constructor.constructor('alert(3)')()}}`;

let field, gateway, browser;

before(async () => {
  field = await startField({ devices: ["pump-1", "pump-2", "pump-3"], site: HOSTILE });
  gateway = await startGateway(field.access);
  browser = await start([gateway.certificate]);
});

after(async () => {
  await browser?.close();
  await gateway?.stop();
  await field?.stop();
});

/** The device's label, which does not say where it is, so that the page asks. */
const labelOf = (device, changes = {}) => JSON.stringify({ ...device.label, transport: undefined, ...changes });

async function pairAt(page, text, link) {
  await enterLabel(page, text);
  await page.getByRole("textbox", { name: "Address" }).fill(link);
  await page.getByRole("dialog").getByRole("button", { name: "Pair", exact: true }).click();
}

test("a mistyped code is called a mistyped code, and the right one pairs the same device", async () => {
  const { page, done } = await open(browser);
  await comeIn(page, gateway);
  const [device] = field.devices;
  await pairAt(page, labelOf(device, { pop: "wrong-code" }), device.link);
  const failure = page.getByRole("alert").first();
  await failure.getByText("wrong-pop").waitFor({ timeout: 60_000 });
  assert.match(await failure.innerText(), /code/i);
  assert.doesNotMatch(await failure.innerText(), /write failed|error/i);
  assert.doesNotMatch(await page.content(), /wrong-code/, "a code is nowhere on the page");
  await picture(page, "wrong-pop");
  await page.goto(gateway.url);
  await pairAt(page, labelOf(device), device.link);
  assert.match(await paired(page), /\./);
  await done();
});

test("a pairing that is cancelled says that nothing is half done, and goes on where it stopped", async () => {
  const { page, done } = await open(browser);
  await comeIn(page, gateway);
  const device = field.devices[2];
  // A radio slow enough that a person is faster.
  await pairAt(page, labelOf(device), `${device.link}?latency_ms=500`);
  await page.getByRole("button", { name: "Cancel" }).click();
  await page.getByRole("region", { name: "Cancelled" }).getByText("Nothing is half done").waitFor();
  await picture(page, "cancelled");
  await page.getByRole("button", { name: "Continue" }).click();
  await paired(page);
  await done();
});

test("what is no label, and what cannot be reached, is said in words with a code", async () => {
  const { page, done } = await open(browser);
  await comeIn(page, gateway);
  await enterLabel(page, "https://example.com/manual.pdf");
  await page.getByRole("alert").getByText("label-not-a-label").waitFor();
  await pairAt(page, labelOf(field.devices[1]), "ble-sim://127.0.0.1:1");
  await page.getByRole("alert").getByText("device-not-found").waitFor({ timeout: 60_000 });
  await done();
});

test("hostile words of labels, sites and devices are shown as the text that they are", async () => {
  const { page, done } = await open(browser);
  await comeIn(page, gateway);
  await pairAt(page, labelOf(field.devices[1], { name: HOSTILE, pop: "wrong" }), field.devices[1].link);
  await page.getByRole("heading", { level: 1, name: HOSTILE }).waitFor();
  for (const path of Object.keys(SCREENS)) {
    await page.goto(gateway.url + path);
    await settled(page);
    assert.equal(await page.locator("img[src=x], script:not([src])").count(), 0, path);
  }
  await page.goto(`${gateway.url}/orders`);
  await page.getByText(HOSTILE).first().waitFor();
  await done();
});

test("the policy holds: an inline script does not run, and nothing is fetched from elsewhere", async () => {
  const { page, context } = await open(browser);
  await comeIn(page, gateway);
  const broken = await page.evaluate(async () => {
    const broken = [];
    document.addEventListener("securitypolicyviolation", (event) => broken.push(event.effectiveDirective));
    const script = document.createElement("script");
    script.textContent = "window.ran = true";
    document.body.append(script);
    const picture = document.createElement("img");
    picture.setAttribute("onerror", "window.ran = true");
    picture.src = "https://elsewhere.example/x.png";
    document.body.append(picture);
    await fetch("https://elsewhere.example/").catch(() => undefined);
    await new Promise((resolve) => setTimeout(resolve));
    return [...new Set(broken)].sort();
  });
  assert.deepEqual(broken, ["connect-src", "img-src", "script-src-attr", "script-src-elem"]);
  assert.equal(await page.evaluate(() => window.ran), undefined);
  await context.close();
});
