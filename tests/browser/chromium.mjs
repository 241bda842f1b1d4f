// Debian's Chromium, and what every page is held to in it. For any test that opens a page of ours.
import assert from "node:assert/strict";
import { createHash, X509Certificate } from "node:crypto";
import { mkdirSync, readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { join } from "node:path";
import { chromium } from "playwright-core";

const axe = readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");

/** The sizes and looks that people have: a phone and a desk, by day and by night. */
export const LOOKS = [360, 1440].flatMap((width) =>
  ["light", "dark"].map((colorScheme) => ({
    name: `${width}-${colorScheme}`,
    viewport: { width, height: width === 360 ? 740 : 900 },
    colorScheme,
    hasTouch: width === 360,
    isMobile: width === 360,
  })),
);

/** Starts Chromium. It believes in the keys of these certificates (PEM) and, beyond the system's roots, in nothing else. */
export function start(certificates, ...more) {
  const spki = certificates.map((pem) =>
    createHash("sha256").update(new X509Certificate(pem).publicKey.export({ type: "spki", format: "der" })).digest("base64"),
  );
  return chromium.launch({
    executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium",
    // Its sandbox needs rights that a container of root's has not; what is opened here is our own.
    args: ["--no-sandbox", `--ignore-certificate-errors-spki-list=${spki.join(",")}`, ...more],
  });
}

/** Nothing that axe knows of keeps anybody out, and nothing is wider than the screen. */
export async function isForEverybody(page, what) {
  await page.evaluate(axe);
  const { violations } = await page.evaluate(() => window.axe.run(document, { resultTypes: ["violations"] }));
  const told = violations.map(({ id, nodes }) => `${id}: ${nodes.map(({ html }) => html).join(" ")}`);
  assert.deepEqual(told, [], what);
  const [wide, screen] = await page.evaluate(() => [document.documentElement.scrollWidth, innerWidth]);
  assert.ok(wide <= screen, `${what}: ${wide} pixels wide on ${screen}`);
  // A part that scrolls upwards scrolls sideways, too, where it has to; the page itself is no wider then.
  const sideways = await page.evaluate(() =>
    [...document.querySelectorAll("*")]
      .filter((one) => one.scrollWidth > one.clientWidth + 1 && /auto|scroll/.test(getComputedStyle(one).overflowX))
      .map((one) => `${one.tagName} ${one.className}: ${one.scrollWidth} on ${one.clientWidth}`),
  );
  assert.deepEqual(sideways, [], `${what}: scrolls sideways`);
}

/** Fingers in gloves hit what is to be hit. */
export async function isForFingers(page, what) {
  const small = await page.locator("button:visible, input:visible, textarea:visible, summary:visible, a:visible").evaluateAll((all) =>
    all
      // Neither what is for the keyboard alone, out of the picture, nor what another thing opens.
      .filter((one) => one.getBoundingClientRect().bottom > 0 && one.ariaHidden !== "true")
      // What reaches beyond itself, or fills a frame or label, is pressed there, too.
      .map((one) => {
        const around = one.matches("input") ? [one, one.parentElement, one.closest("label") ?? one] : [one];
        const reach = Number.parseFloat(getComputedStyle(one, "::after").height) || 0;
        return [one, Math.max(reach, ...around.map((each) => each.getBoundingClientRect().height))];
      })
      .filter(([, high]) => high < 48)
      .map(([one, high]) => `${high} pixels: ${one.outerHTML.slice(0, 300)}`),
  );
  assert.deepEqual(small, [], `${what}: too small for fingers`);
}

/** Where the focus is, it is seen. */
export async function showsItsFocus(page, what) {
  const width = await page.evaluate(() => Number.parseFloat(getComputedStyle(document.activeElement).outlineWidth));
  assert.ok(width >= 2, `${what}: the focus is not seen`);
}

/** To be looked at by a person: SCREENSHOTS names the folder. */
export async function picture(page, name) {
  const folder = process.env.SCREENSHOTS;
  if (!folder) return;
  mkdirSync(folder, { recursive: true });
  await page.screenshot({ path: join(folder, `${name}.png`), fullPage: true });
}
