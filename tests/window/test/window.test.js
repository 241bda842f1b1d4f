// The desktop app's real window, from its first start to a paired device and a clean end; and what its page may not do.

import assert from "node:assert/strict";
import { once } from "node:events";
import { createServer } from "node:http";
import { after, afterEach, before, test } from "node:test";
import { Desk, SOON, until } from "../desk.mjs";
import { button, demoDevice, invoke, pairSilentDevice, states } from "../page.mjs";

/** Nobody's: the invite is read, and nothing is called. */
const INVITE = "lowtouch:invite#server=https%3A%2F%2Fprovisioning.example.com&code=TEST-CODE-THAT-OPENS-NOTHING";

let desk;
let window;

before(async () => {
  desk = await Desk.set();
});

afterEach(async () => {
  await window?.deleteSession().catch(() => undefined);
  window = undefined;
  await desk.close();
  // One test's remains must not be the next one's first instance.
  await desk.ended().finally(() => desk.sweep());
});

after(() => desk?.clear());

test("a newcomer starts the demo, pairs a device and sees its hub", async () => {
  window = await desk.open();
  await button(window, "Start the demo");
  assert.match(await window.getTitle(), /Lowtouch$/);
  await desk.picture("first-start");

  const pair = await demoDevice(window);
  await desk.picture("devices-nearby");
  await pair.click();

  const next = await window.$("button=Next device");
  await next.waitForDisplayed({ timeout: 4 * SOON });
  assert.match(await (await window.$("main")).getText(), /-hub-\d\.azure-devices\.net/);
  await desk.picture("paired");

  // The demo is on; the shortcut of the native menu ends all of it.
  await desk.press("ctrl+q");
  await desk.ended();
});

test("the page runs no script and loads nothing that its policy does not name", async () => {
  window = await desk.open();
  const refused = await window.executeAsync((done) => {
    const refused = new Set();
    document.addEventListener("securitypolicyviolation", (event) => refused.add(event.effectiveDirective));
    const inline = document.createElement("script");
    inline.textContent = "globalThis.inlineRan = true";
    document.body.append(inline);
    const handler = document.createElement("img");
    handler.setAttribute("onerror", "globalThis.handlerRan = true");
    handler.src = "https://127.0.0.1:9/pixel.png";
    document.body.append(handler);
    const style = document.createElement("style");
    style.textContent = "body { outline: 3px solid red }";
    document.body.append(style);
    const form = document.createElement("form");
    form.action = "https://127.0.0.1:9/";
    document.body.append(form);
    form.submit();
    let evalRan = false;
    try {
      evalRan = new Function("return true")();
    } catch {
      // As it should be.
    }
    fetch("https://127.0.0.1:9/")
      .catch(() => undefined)
      .then(() => new Promise((resolve) => setTimeout(resolve, 500)))
      .then(() =>
        done({
          directives: [...refused].sort(),
          ran: [globalThis.inlineRan, globalThis.handlerRan, evalRan].some(Boolean),
          outlined: getComputedStyle(document.body).outlineStyle,
        }),
      );
  });
  assert.equal(refused.ran, false);
  assert.equal(refused.outlined, "none");
  for (const directive of ["connect-src", "form-action", "img-src", "script-src-attr", "script-src-elem", "style-src-elem"]) {
    assert.ok(refused.directives.includes(directive), `${directive} is not among ${refused.directives}`);
  }
});

test("the window stays with its own page", async () => {
  window = await desk.open();
  const own = await window.getUrl();
  const elsewhere = createServer((_, answer) => answer.end("elsewhere")).listen(0, "127.0.0.1");
  await once(elsewhere, "listening");
  // WebDriver waits until the other page is there, or it is refused.
  await window.url(`http://127.0.0.1:${elsewhere.address().port}/`).catch(() => undefined);
  elsewhere.close();
  assert.equal((await invoke(window, "about", { args: {} })).answer.host, "desktop");
  assert.equal(await window.getUrl(), own);
});

test("a command that the capability does not list is refused", async () => {
  window = await desk.open();
  assert.equal((await invoke(window, "about", { args: {} })).answer.host, "desktop");
  for (const [name, args] of [
    ["plugin:event|listen", { event: "deep-link://new-url", target: { kind: "Any" }, handler: 0 }],
    ["plugin:deep-link|get_current", {}],
    ["plugin:dialog|open", { options: {} }],
    ["plugin:notification|notify", { options: { title: "hello" } }],
    ["plugin:window|close", { label: "main" }],
    ["plugin:window|create", { options: { label: "other", url: "https://127.0.0.1:9/" } }],
    ["plugin:opener|open_path", { path: "/etc/passwd" }],
    ["plugin:opener|open_url", { url: "http://127.0.0.1:9/" }],
    ["plugin:opener|open_url", { url: "file:///etc/passwd" }],
    ["plugin:app|version", {}],
  ]) {
    const { answer, refusal } = await invoke(window, name, args);
    assert.equal(answer, undefined, name);
    assert.match(refusal, /not allowed|not found/i, name);
  }
  assert.equal(await window.execute(() => "__TAURI__" in window || !Object.isFrozen(Object.prototype)), false);
});

test("an invite that starts the program is shown", async () => {
  window = await desk.open(INVITE);
  await until("the page shows where the invite leads", async () =>
    (await (await window.$("main")).getText()).includes("provisioning.example.com"),
  );
  await desk.picture("invite");
});

test("a second start brings the first window to the front and hands its invite over", async () => {
  window = await desk.open();
  await button(window, "Start the demo");
  await until("the window is in front", async () => (await desk.inFront()) === "Lowtouch");
  await desk.minimise();
  await until("the window is away", async () => (await desk.inFront()) !== "Lowtouch");

  assert.equal(await desk.run(INVITE), 0);
  await until("the window is back", async () => (await desk.inFront()) === "Lowtouch");
  await until("the page shows where the invite leads", async () =>
    (await (await window.$("main")).getText()).includes("provisioning.example.com"),
  );
});

test("a page that is loaded again ends its streams and hears of the window again", async () => {
  window = await desk.open();
  await button(window, "Start the demo");
  await window.execute(() => location.reload());
  await button(window, "Start the demo");
  // Tauri says in the page what comes for a page that is gone.
  await window.execute(() => {
    globalThis.late = [];
    console.warn = (...words) => globalThis.late.push(words.join(" "));
  });
  await demoDevice(window);
  assert.deepEqual(await window.execute(() => globalThis.late), []);
  assert.equal(await desk.run(INVITE), 0);
  await until("the page shows where the invite leads", async () =>
    (await (await window.$("main")).getText()).includes("provisioning.example.com"),
  );
});

test("closing asks while a device is being paired, and only then", async (t) => {
  window = await desk.open();
  await demoDevice(window);
  await pairSilentDevice(window, t);

  await until("the window is in front", async () => (await desk.inFront()) === "Lowtouch");
  await desk.press("alt+F4");
  await until("somebody asks", async () => (await desk.inFront()).startsWith("Quit while"));
  await desk.press("Escape");
  await until("the window is in front again", async () => (await desk.inFront()) === "Lowtouch");
  assert.ok((await states(window)).includes("running"));

  const { answer } = await invoke(window, "pairings", { args: {} });
  await invoke(window, "pairing_cancel", { args: { pairingId: answer[0].pairingId } });
  await until("nothing is being paired", async () => !(await states(window)).includes("running"));
  await desk.press("alt+F4");
  await desk.ended();
});
