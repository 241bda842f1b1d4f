// The app among the other parts of a desktop: notifications, the panel's tray, dialogs, the window manager, a screen reader.
// The real ones: dunst, xfce4-panel, GTK's file dialog, openbox, AT-SPI.

import assert from "node:assert/strict";
import { readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { after, afterEach, before, test } from "node:test";
import { fileURLToPath } from "node:url";
import { Desk, SOON, until } from "../desk.mjs";
import { button, demoDevice, pairSilentDevice } from "../page.mjs";

const HEARD = fileURLToPath(new URL("../heard.py", import.meta.url));

let desk;
let window;

before(async () => {
  desk = await Desk.set();
  desk.start("dunst");
});

afterEach(async () => {
  await window?.deleteSession().catch(() => undefined);
  window = undefined;
  await desk.close();
  await desk.ended().finally(() => desk.sweep());
});

after(() => desk?.clear());

async function inFront() {
  await until("the window is in front", async () => (await desk.inFront()) === "Lowtouch");
}

/** What the panel's tray shows of the app: where its menu is, by D-Bus. */
async function trayMenu() {
  const items = await desk.ask(
    "busctl", "--user", "--json=short", "get-property",
    "org.kde.StatusNotifierWatcher", "/StatusNotifierWatcher", "org.kde.StatusNotifierWatcher", "RegisteredStatusNotifierItems",
  );
  const item = JSON.parse(items).data[0];
  if (!item) throw new Error("no icon");
  const slash = item.indexOf("/");
  return { name: item.slice(0, slash), path: `${item.slice(slash)}/Menu` };
}

/** Presses an item of the tray's menu as a panel does. */
async function press(words) {
  const { name, path } = await trayMenu();
  const asked = ["--user", "--json=short", "call", name, path, "com.canonical.dbusmenu"];
  const layout = JSON.parse(await desk.ask("busctl", ...asked, "GetLayout", "iias", "0", "1", "1", "label"));
  const [, [, , items]] = layout.data;
  const found = items.map(({ data }) => ({ id: data[0], label: data[1].label?.data })).find(({ label }) => label === words);
  assert.ok(found, `${words} is not in ${JSON.stringify(layout.data)}`);
  await desk.ask("busctl", ...asked, "Event", "isvu", String(found.id), "clicked", "i", "0", "0");
}

test("a pairing that ends while nobody looks is told by a notification, with its hub", async () => {
  window = await desk.open();
  const pair = await demoDevice(window);
  await inFront();
  await pair.click();
  await desk.minimise();
  const shown = await until("a notification", async () => (await desk.notifications()).find(({ title }) => title.endsWith("is paired")), 4 * SOON);
  assert.match(shown.text, /^It is assigned to .+-hub-\d\.azure-devices\.net\.$/);
});

test("with a tray the window closes while a device is being paired, and comes back from it", async (t) => {
  const endPanel = desk.start("xfce4-panel", "--disable-wm-check");
  t.after(endPanel);
  await until("the panel shows a tray", async () =>
    (await desk.ask("busctl", "--user", "list", "--acquired")).includes("org.kde.StatusNotifierWatcher"),
  );
  window = await desk.open();
  await demoDevice(window);
  await inFront();
  const devices = [await pairSilentDevice(window, t, "PROV_FIRST")];
  await until("the icon is in the tray", trayMenu);
  await desk.picture("tray");
  await desk.press("alt+F4");
  await until("the window is away", async () => !(await desk.shows("Lowtouch")));
  const shown = await until("a notification", async () => (await desk.notifications()).find(({ title }) => title === "Pairing goes on"));
  assert.equal(shown.text, "Lowtouch is still in the tray. Devices being paired: 1.");
  await desk.picture("notification");

  await press("Open Lowtouch");
  await until("the window is back", () => desk.shows("Lowtouch"));
  await inFront();
  devices.push(await pairSilentDevice(window, t, "PROV_SECOND"));
  await press("Quit");
  await until("somebody asks", async () => (await desk.inFront()).startsWith("Quit while"));
  await desk.press("Escape");

  // Away again, and both hang up: that is told, and then nothing keeps the app.
  await inFront();
  await desk.press("alt+F4");
  await until("the window is away again", async () => !(await desk.shows("Lowtouch")));
  for (const hangUp of devices) hangUp();
  await until("it is told", async () => {
    const titles = (await desk.notifications()).map(({ title }) => title);
    return ["PROV_FIRST", "PROV_SECOND"].every((name) => titles.includes(`${name} is not paired`));
  });
  await press("Quit");
  await desk.ended();
});

test("the logs are saved where the system's dialog says, or nowhere", async () => {
  window = await desk.open();
  await button(window, "Start the demo");
  await inFront();
  await desk.press("ctrl+d");
  // Until the report is whole, what comes of it moves the button away from under the press.
  await button(window, "Copy the report");
  await (await button(window, "Save logs")).click();
  await until("the dialog", async () => /save/i.test(await desk.inFront()));
  await desk.picture("save-dialog");
  await desk.press("Escape");
  const main = await window.$("main");
  await until("the page says that nothing was saved", async () => /not saved/i.test(await main.getText()));

  // As it stands: with the others of this person, not wherever the program was started.
  await (await button(window, "Save logs")).click();
  await until("the dialog again", async () => /save/i.test(await desk.inFront()));
  await desk.press("Return");
  await until("the file is at home", async () => (await readdir(desk.home)).some((name) => /^lowtouch-logs-.*\.zip$/.test(name)));

  await (await button(window, "Save logs")).click();
  await until("the dialog once more", async () => /save/i.test(await desk.inFront()));
  const file = join(desk.home, "for-support.zip");
  await desk.press("ctrl+a");
  await desk.type(file);
  await desk.press("Return");
  await until("the page says where", async () => (await main.getText()).includes(file));
  assert.equal((await readFile(file)).subarray(0, 2).toString(), "PK");
});

test("size and place of the window are those of the last time", async () => {
  const geometry = async () => (await desk.ask("xdotool", "getactivewindow", "getwindowgeometry", "--shell")).split("\n").filter((line) => /^(X|Y|WIDTH|HEIGHT)=/.test(line)).join(" ");
  window = await desk.open();
  await button(window, "Start the demo");
  await inFront();
  await desk.ask("xdotool", "getactivewindow", "windowsize", "--sync", "700", "640", "windowmove", "--sync", "123", "77");
  const before = await until("the window has moved", async () => ((await geometry()).includes("WIDTH=700") ? geometry() : false));
  await desk.press("ctrl+q");
  await desk.ended();
  await desk.close();
  window = await desk.open();
  await button(window, "Start the demo");
  await inFront();
  assert.equal(await geometry(), before);
});

test("a screen reader hears the menu, the page, where the focus is, and which hub it was", async () => {
  const heard = async () => JSON.parse(await desk.ask("/usr/bin/python3", HEARD, "lowtouch-app"));
  const hears = (role, name) => (thing) => thing.role === role && (name instanceof RegExp ? name.test(thing.name) : thing.name === name);
  window = await desk.open();
  await button(window, "Start the demo");
  await inFront();
  const first = await until("the page is heard", async () => {
    const all = await heard();
    return all.some(hears("push button", "Start the demo")) && all;
  });
  for (const menu of ["Device", "Edit", "View"]) assert.ok(first.some(hears("menu", menu)), menu);
  assert.ok(first.some(hears("document web", "Pair devices · Lowtouch")));
  // Everything that can be pressed or opened says what it is.
  const nameless = first.filter(({ role, name }) => ["push button", "link", "entry", "menu item"].includes(role) && !name);
  assert.deepEqual(nameless, []);

  const pair = await demoDevice(window);
  await pair.click();
  const done = await until("the result is heard", async () => {
    const all = await heard();
    return all.some(hears("push button", "Next device")) && all;
  }, 4 * SOON);
  assert.ok(done.some(hears("heading", "Paired")));
  assert.ok(done.some(hears("push button", /^Copy Hub .+-hub-\d\.azure-devices\.net$/)));
  assert.ok(done.some(hears("list item", /^Configuration handed over : done/)));
  // The next thing to do is under the fingers.
  assert.ok(done.some(({ role, name, focused }) => role === "push button" && name === "Next device" && focused));
});
