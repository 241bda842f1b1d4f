// What a person does on the page. Everything is found by its role and its words, as a screen reader finds it.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";

export const LANGUAGES = ["en", "de", "es", "zh"];

/** The page's words: the same files that it shows. */
export function words(language, namespace) {
  const file = new URL(`../../../ui/src/locales/${language}/${namespace}.json`, import.meta.url);
  const all = JSON.parse(readFileSync(file, "utf8"));
  return (key) => key.split(".").reduce((at, part) => at[part], all);
}

/** The paths of all screens, with the word of the navigation. */
export const SCREENS = {
  "/": "pair",
  "/bench": "bench",
  "/journal": "journal",
  "/orders": "orders",
  "/accounts": "accounts",
  "/settings": "settings",
  "/doctor": "doctor",
};

/** A browser window of its own. What the browser complains of fails the test at `done`. */
export async function open(browser, look = {}) {
  const context = await browser.newContext({ locale: "en", reducedMotion: "reduce", ...look });
  const page = await context.newPage();
  page.setDefaultTimeout(30_000);
  const complaints = [];
  page.on("console", (said) => {
    // The answer's own status is no complaint; a network that was cut on purpose neither.
    const expected = /the server responded with a status of|ERR_CONNECTION_REFUSED|ERR_CONNECTION_CLOSED|ERR_CONNECTION_RESET|ERR_SOCKET_NOT_CONNECTED|ERR_EMPTY_RESPONSE/;
    if (["error", "warning"].includes(said.type()) && !expected.test(said.text())) complaints.push(said.text());
  });
  page.on("pageerror", (error) => complaints.push(String(error)));
  page.on("dialog", (dialog) => complaints.push(`a dialog: ${dialog.message()}`) && dialog.dismiss());
  return {
    page,
    context,
    complaints,
    async done() {
      assert.deepEqual(complaints, []);
      await context.close();
    },
  };
}

/** Comes with the code in the address, as from the QR code on the console. */
export async function comeIn(page, gateway, path = "/") {
  const signedIn = page.waitForResponse((answer) => answer.url().endsWith("/api/session") && answer.ok());
  await page.goto(`${gateway.url}/#code=${await gateway.newCode()}`);
  await signedIn;
  await page.getByRole("navigation").first().waitFor();
  assert.equal(new URL(page.url()).hash, "", "the code does not stay in the address");
  if (path !== "/") await page.goto(gateway.url + path);
}

/** Until the screen shows what it has to show. */
export async function settled(page) {
  await page.getByRole("heading", { level: 1 }).first().waitFor();
  await page.waitForFunction(() => document.querySelector("[aria-busy=true]") === null);
}

/** Enters a label's text on the page for one device. */
export async function enterLabel(page, text) {
  const field = page.getByRole("textbox", { name: "Text of the label" });
  if (!(await field.isVisible())) await page.getByRole("button", { name: "Text", exact: true }).click();
  await field.fill(text);
  await page.getByRole("button", { name: "Pair", exact: true }).click();
}

/** Waits for the end that a person sees from two metres, and gives the hub. */
export async function paired(page) {
  await page.getByRole("heading", { name: "Paired" }).waitFor({ timeout: 60_000 });
  await page.getByRole("button", { name: "Next device" }).waitFor();
  return page.getByRole("region", { name: "Paired" }).innerText();
}
