// A newcomer's first minutes: the one-time code, the demo, and pairing by mouse, by keyboard, many at once, with a reload and without a network.
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { picture, start } from "../chromium.mjs";
import { startGateway, wireTo } from "../gateway.mjs";
import { comeIn, open, paired } from "./person.mjs";

/** What the bench holds, and the simulated devices of the demo. */
const DEVICES = 8;

let gateway, browser;

before(async () => {
  gateway = await startGateway();
  browser = await start([gateway.certificate]);
});

after(async () => {
  await browser?.close();
  await gateway?.stop();
});

/** Turns the demo on for this gateway, whoever asks first. */
let demo;
const withDemo = (page) =>
  (demo ??= page.evaluate(async (devices) => {
    const answer = await fetch("/api/stream/demo_start", {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: JSON.stringify({ devices }),
    });
    return answer.text();
  }, DEVICES).then((told) => assert.match(told, /"event":"ready"/)));

test("without the code nothing is shown, a wrong one is named, and the right one serves once", async () => {
  const { page, done } = await open(browser);
  const code = await gateway.newCode();
  await page.goto(gateway.url);
  await page.getByLabel("Code", { exact: true }).fill("AAAA-AAAA");
  await page.getByRole("button", { name: "Continue" }).click();
  await page.getByRole("alert").waitFor();
  await page.getByLabel("Code", { exact: true }).fill(code);
  await page.getByRole("button", { name: "Continue" }).click();
  await page.getByRole("heading", { name: "Pair devices" }).waitFor();
  await done();

  const second = await open(browser);
  await second.page.goto(`${gateway.url}/#code=${code}`);
  await second.page.getByRole("alert").waitFor();
  assert.equal(new URL(second.page.url()).hash, "");
  await second.done();
});

test("a newcomer pairs a simulated device with three presses", async () => {
  const { page, done } = await open(browser);
  await comeIn(page, gateway);
  await picture(page, "welcome");
  await page.getByRole("button", { name: "Start the demo" }).click();
  const devices = page.getByRole("region", { name: "Simulated devices", exact: true });
  await devices.getByRole("button").first().click({ timeout: 60_000 });
  assert.match(await paired(page), /-hub-\d/);
  await page.getByText("Demo: simulated devices").waitFor();
  await picture(page, "paired");
  await page.getByRole("button", { name: "End the demo" }).click();
  await page.getByText("Demo: simulated devices").waitFor({ state: "detached" });
  await page.goto(gateway.url);
  await page.getByRole("heading", { name: "Pair devices" }).waitFor();
  await done();
});

test("the keyboard alone pairs a device, and each step is said to whoever does not see it", async () => {
  const { page, done } = await open(browser);
  await comeIn(page, gateway);
  await withDemo(page);
  const device = page.getByRole("region", { name: "Simulated devices", exact: true }).getByRole("button").nth(1);
  await device.waitFor();
  const said = await page.evaluateHandle(() => {
    const said = [];
    const read = () => {
      const text = document.querySelector("[data-testid=announcer]")?.textContent;
      if (text && said.at(-1) !== text) said.push(text);
    };
    new MutationObserver(read).observe(document.body, { childList: true, subtree: true, characterData: true });
    return said;
  });
  for (let presses = 0; !(await device.evaluate((element) => element === document.activeElement)); presses += 1) {
    assert.ok(presses < 40, "the device is reached by Tab");
    await page.keyboard.press("Tab");
  }
  await page.keyboard.press("Enter");
  await paired(page);
  const heard = await said.jsonValue();
  assert.ok(heard.length > 1, String(heard));
  assert.match(heard.at(-1), /is paired\. Its hub is /);
  // The next thing has the focus already.
  await page.keyboard.press("Enter");
  await page.getByRole("heading", { name: "Pair a device" }).waitFor();
  await done();
});

test("a page that is loaded again goes on showing the pairing that runs", async () => {
  const { page, done } = await open(browser);
  await comeIn(page, gateway);
  await withDemo(page);
  await page.getByRole("region", { name: "Simulated devices", exact: true }).getByRole("button").nth(2).click();
  await page.waitForURL(/\/pair\//);
  await page.reload();
  assert.match(await paired(page), /-hub-\d/);
  await done();
});

test("a page that loses its network says so, the pairing goes on, and its end is there when the network is", async () => {
  const { page, done } = await open(browser);
  const wire = await wireTo(gateway);
  await comeIn(page, wire);
  await withDemo(page);
  await page.getByRole("region", { name: "Simulated devices", exact: true }).getByRole("button").nth(4).click();
  await page.waitForURL(/\/pair\//);
  await page.getByRole("list", { name: "Steps" }).waitFor();
  await wire.cut();
  const lost = page.getByText("It is tried again");
  await lost.waitFor();
  await picture(page, "lost");
  await wire.mend();
  // Nobody has to press anything.
  assert.match(await paired(page), /-hub-\d/);
  await lost.waitFor({ state: "detached" });
  await wire.cut();
  await done();
});

test("a bench pairs eight devices at once", async () => {
  const { page, done } = await open(browser, { viewport: { width: 1440, height: 900 } });
  await comeIn(page, gateway);
  await withDemo(page);
  await page.goto(`${gateway.url}/bench`);
  await page.getByRole("button", { name: "Add devices" }).click();
  const nearby = page.getByRole("region", { name: "Add devices", exact: true });
  await nearby.getByRole("button", { name: /^Pair / }).first().waitFor();
  for (const device of await nearby.getByRole("button", { name: /^Pair / }).all()) await device.click();
  await page.evaluate(() => {
    window.longTasks = [];
    new PerformanceObserver((list) => window.longTasks.push(...list.getEntries().map((task) => Math.round(task.duration)))).observe({
      type: "longtask",
    });
  });
  await page.getByRole("button", { name: /^Start all / }).click();
  await page.getByText(`${DEVICES} of ${DEVICES} paired`).waitFor({ timeout: 120_000 });
  await picture(page, "bench");
  console.log(`tasks over 50 ms while ${DEVICES} paired: ${JSON.stringify(await page.evaluate(() => window.longTasks))}`);
  await done();
});
