// The page in the window, as the tests ask it.

import assert from "node:assert/strict";
import { createServer } from "node:net";
import { SOON, until } from "./desk.mjs";

/** Calls as the page calls its host; a refusal comes back as what it was rejected with. */
export function invoke(window, name, args = {}) {
  return window.executeAsync(
    (name, args, done) => {
      window.__TAURI_INTERNALS__.invoke(name, args).then(
        (answer) => done({ answer }),
        // (WebdriverIO throws what has a key named `error`.)
        (refusal) => done({ refusal }),
      );
    },
    name,
    args,
  );
}

/** A button that can be pressed. */
export async function button(window, text) {
  const found = await window.$(`button=${text}`);
  await found.waitForClickable({ timeout: SOON });
  return found;
}

/** Starts the demo; gives the first of its devices. */
export async function demoDevice(window) {
  await (await button(window, "Start the demo")).click();
  const found = await window.$('section[aria-labelledby="nearby"] button');
  await found.waitForClickable({ timeout: 3 * SOON });
  return found;
}

/**
 * Begins a pairing with a device that takes the connection and says nothing; what it gives hangs up. The app itself gives
 * such a device up after 15 s.
 */
export async function pairSilentDevice(window, t, name = "PROV_SILENT") {
  const sockets = new Set();
  const server = createServer((socket) => sockets.add(socket));
  await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
  const hangUp = () => {
    for (const socket of sockets) socket.destroy();
    server.close();
  };
  t.after(hangUp);
  const link = `http://127.0.0.1:${server.address().port}`;
  const label = await invoke(window, "label_from_code", { args: { name, pop: "abcd1234", link } });
  const started = await invoke(window, "pairing_start", { args: { labelId: label.answer.labelId } });
  assert.ok(started.answer, JSON.stringify(started));
  await until("the pairing runs", async () => (await states(window)).includes("running"));
  return hangUp;
}

/** Of every pairing since the program's start. */
export async function states(window) {
  const { answer } = await invoke(window, "pairings", { args: {} });
  return answer.map((pairing) => pairing.state);
}
