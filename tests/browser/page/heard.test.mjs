// What somebody hears who does not see the page: the accessibility tree as Chromium gives it to a screen reader, what is said in live
// regions, where the focus goes, headings, titles and languages.
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { start } from "../chromium.mjs";
import { startField, startGateway } from "../gateway.mjs";
import { comeIn, enterLabel, LANGUAGES, open, paired, SCREENS, settled, words } from "./person.mjs";

let field, gateway, browser;

before(async () => {
  field = await startField({ devices: ["lamp-1", "lamp-2", "lamp-3"], site: "Plant" });
  gateway = await startGateway(field.access);
  browser = await start([gateway.certificate]);
});

after(async () => {
  await browser?.close();
  await gateway?.stop();
  await field?.stop();
});

/** Roles that somebody operates: without a name nobody knows what they do. */
const OPERATED = new Set(
  "button link textbox searchbox combobox checkbox radio switch slider spinbutton tab menuitem menuitemradio option".split(" "),
);

/** The tree, as a list in reading order, without what a screen reader leaves out. */
async function tree(page) {
  const devtools = await page.context().newCDPSession(page);
  const { nodes } = await devtools.send("Accessibility.getFullAXTree");
  await devtools.detach();
  const property = (node, name) => node.properties?.find((one) => one.name === name)?.value.value;
  const byId = new Map(nodes.map((node) => [node.nodeId, node]));
  // What is inside something that is operated is no part of its own: its name is read, not the picture on it.
  const within = (node) => {
    const parent = byId.get(node.parentId);
    return parent !== undefined && (OPERATED.has(parent.role?.value) || within(parent));
  };
  const inOrder = (node) => [node, ...(node.childIds ?? []).flatMap((id) => (byId.has(id) ? inOrder(byId.get(id)) : []))];
  return inOrder(nodes.find((node) => node.parentId === undefined))
    .filter((node) => !node.ignored && !within(node))
    .map((node) => ({
      role: node.role?.value,
      name: node.name?.value ?? "",
      description: node.description?.value ?? "",
      level: property(node, "level"),
      focused: property(node, "focused") ?? false,
      focusable: property(node, "focusable") ?? false,
    }));
}

/** What holds on every screen. */
async function isHeard(page, what) {
  const all = await tree(page);
  const nameless = all.filter(({ role, name }) => (OPERATED.has(role) || role === "image") && name.trim() === "");
  assert.deepEqual(nameless, [], `${what}: without a name`);
  // What takes the focus says what it is; the page's main part takes it when a page begins.
  const dumb = all.filter(({ role, name, focusable }) => focusable && ["generic", "none", undefined].includes(role) && !name);
  assert.deepEqual(dumb, [], `${what}: takes the focus and says nothing`);
  const levels = all.filter(({ role }) => role === "heading").map(({ level }) => level);
  assert.equal(levels[0], 1, `${what}: headings of ${levels}`);
  assert.equal(levels.filter((level) => level === 1).length, 1, `${what}: headings of ${levels}`);
  for (const [before, level] of levels.slice(1).map((level, index) => [levels[index], level]))
    assert.ok(level <= before + 1, `${what}: a heading of ${level} after one of ${before}`);
  assert.equal(all.filter(({ role }) => role === "main").length, 1, what);
  for (const { name } of all.filter(({ role }) => role === "navigation" || role === "region")) assert.ok(name, `${what}: a part without a name`);
  return all;
}

/** Listens as a screen reader does: to what changes inside live regions that were there already, and to alerts that appear. */
async function listen(page) {
  await page.addInitScript(() => {
    window.heard = [];
    const LIVE = "[role=status], [role=alert], [role=log], [aria-live=polite], [aria-live=assertive]";
    const say = (region) => {
      const text = region.innerText.trim();
      if (text) window.heard.push(text);
    };
    new MutationObserver((records) => {
      const said = new Set();
      for (const { target, addedNodes } of records) {
        const region = (target.nodeType === Node.ELEMENT_NODE ? target : target.parentElement)?.closest(LIVE);
        const fresh = [...records].some((other) => [...other.addedNodes].some((node) => node.contains?.(region)));
        if (region && !fresh) said.add(region);
        for (const node of addedNodes) {
          if (node.nodeType !== Node.ELEMENT_NODE) continue;
          for (const alert of [node, ...node.querySelectorAll("[role=alert]")]) if (alert.matches("[role=alert]")) said.add(alert);
        }
      }
      for (const region of said) if (region.isConnected) say(region);
    }).observe(document, { subtree: true, childList: true, characterData: true });
  });
}
const heard = (page) => page.evaluate(() => window.heard);

const labelOf = (device, changes = {}) => JSON.stringify({ ...device.label, transport: undefined, ...changes });

async function begin(page, device, changes = {}) {
  await enterLabel(page, labelOf(device, changes));
  // A radio slow enough that each step is one.
  await page.getByRole("textbox", { name: "Address" }).fill(`${device.link}?latency_ms=120`);
  await isHeard(page, "the question where the device is");
  await page.getByRole("dialog").getByRole("button", { name: "Pair", exact: true }).click();
}

const stepsNow = (language) => {
  const say = words(language, "pair");
  return ["discover", "connect", "secure", "identify", "allocate", "network", "hand-off", "confirm", "record"].map((step) => say(`steps.${step}.now`));
};

test("a whole pairing is heard: each step once and in order, then the hub, and the focus is on the way on", async () => {
  const { page, done } = await open(browser);
  await listen(page);
  await comeIn(page, gateway);
  const [device] = field.devices;
  await begin(page, device);
  await page.waitForURL(/\/pair\//);
  await page.getByRole("list", { name: "Steps" }).waitFor();
  const running = await isHeard(page, "a pairing that runs");
  assert.ok(running.some(({ role, name }) => role === "heading" && name.startsWith(device.label.name)));
  await paired(page);
  const said = await heard(page);
  const steps = stepsNow("en");
  const saidSteps = said.filter((text) => steps.includes(text));
  const inOrder = steps.filter((step) => saidSteps.includes(step));
  assert.deepEqual(saidSteps, inOrder, "each once, in order");
  // What takes time is heard; what takes none may be over before it could be.
  for (const step of ["secure", "identify", "hand-off", "confirm"]) assert.ok(saidSteps.includes(words("en", "pair")(`steps.${step}.now`)), `${step}: ${said}`);
  const results = said.filter((text) => text.startsWith(`${device.label.name} is paired. Its hub is `));
  assert.equal(results.length, 1, String(said));
  assert.equal(said.at(-1), results[0]);

  const end = await isHeard(page, "a pairing that has ended");
  const [focused] = end.filter(({ focused, role }) => focused && role !== "RootWebArea");
  assert.deepEqual([focused.role, focused.name], ["button", "Next device"]);
  assert.match(focused.description, /^Paired .*\./, "with the result");
  // Every step says in words how it stands, not by colour.
  const list = await page.getByRole("list", { name: "Steps" }).innerText();
  assert.ok(list.split("\n").length >= 8, list);
  await done();
});

test("what went wrong is heard at once with what to do, and the focus is at its heading", async () => {
  const { page, done } = await open(browser);
  await listen(page);
  await comeIn(page, gateway);
  await begin(page, field.devices[1], { pop: "wrong-code" });
  await page.getByRole("alert").getByText("wrong-pop").waitFor({ timeout: 60_000 });
  const title = words("en", "codes")("errors.wrong-pop.title");
  const said = (await heard(page)).filter((text) => text.includes(title));
  assert.equal(said.length, 1, String(await heard(page)));
  assert.ok(said[0].includes(words("en", "codes")("errors.wrong-pop.text")));
  const [focused] = (await isHeard(page, "a pairing that failed")).filter(({ focused, role }) => focused && role !== "RootWebArea");
  assert.deepEqual([focused.role, focused.name, focused.level], ["heading", title, 2]);
  await done();
});

test("a pairing that was cancelled is heard to be, and the focus is at its heading", async () => {
  const { page, done } = await open(browser);
  await listen(page);
  await comeIn(page, gateway);
  await begin(page, field.devices[2]);
  await page.getByRole("button", { name: "Cancel" }).click();
  await page.getByRole("region", { name: "Cancelled" }).getByText("Nothing is half done").waitFor();
  const title = words("en", "pair")("cancelled.title");
  const text = words("en", "pair")("cancelled.text");
  assert.equal((await heard(page)).filter((said) => said.includes(text)).length, 1, String(await heard(page)));
  const [focused] = (await isHeard(page, "cancelled")).filter(({ focused, role }) => focused && role !== "RootWebArea");
  assert.deepEqual([focused.role, focused.name], ["heading", title]);
  await done();
});

test("every screen has a name of its own in the window's title, says which place it is, and nothing on it is without a name", async () => {
  for (const language of LANGUAGES) {
    const { page, done } = await open(browser, { locale: language });
    await comeIn(page, gateway);
    const nav = words(language, "shell");
    const titles = new Set();
    let before = "";
    for (const [path, name] of Object.entries(SCREENS)) {
      // As somebody goes there: the title must follow without a page that is loaded anew.
      await page.getByRole("navigation").getByRole("link", { name: nav(`nav.${name}`) }).first().click();
      await page.waitForURL(gateway.url + path);
      await page.waitForFunction(
        (before) => document.title !== before && document.title === `${document.querySelector("h1")?.innerText} · Lowtouch`,
        before,
      );
      await settled(page);
      const title = await page.title();
      before = title;
      titles.add(title);
      assert.equal(await page.evaluate(() => document.documentElement.lang), language, title);
      const current = await page.getByRole("navigation").locator("[aria-current=page]:visible").all();
      assert.ok((await current[0].innerText()).includes(nav(`nav.${name}`)), `${name} ${language}`);
      for (const link of current) assert.equal(await link.getAttribute("href"), path, `${name} ${language}`);
      if (language === "en" || language === "zh") await isHeard(page, `${name} ${language}`);
    }
    assert.equal(titles.size, Object.keys(SCREENS).length, [...titles].join());
    await done();
  }
});

test("the language of the page follows the one that is chosen, at once", async () => {
  const { page, done } = await open(browser);
  await comeIn(page, gateway, "/settings");
  for (const [name, language] of [["Deutsch", "de"], ["Español", "es"], ["简体中文", "zh"], ["English", "en"]]) {
    await page.getByRole("radio", { name }).or(page.getByRole("button", { name })).or(page.getByText(name, { exact: true })).first().click();
    await page.locator(`html[lang=${language}]`).waitFor();
    await page.waitForFunction((title) => document.title.startsWith(title), words(language, "shell")("nav.settings"));
  }
  await done();
});

test("the palette is a dialog with a name, and what it finds is named", async () => {
  const { page, done } = await open(browser);
  await comeIn(page, gateway);
  await page.keyboard.press("Control+k");
  await page.getByPlaceholder("Go to a page or do something").waitFor();
  const all = await tree(page);
  assert.ok(all.some(({ role, name }) => role === "dialog" && name), "a dialog with a name");
  assert.deepEqual(all.filter(({ role, name }) => OPERATED.has(role) && !name.trim()), []);
  await page.keyboard.press("Escape");
  await page.getByPlaceholder("Go to a page or do something").waitFor({ state: "detached" });
  await done();
});
