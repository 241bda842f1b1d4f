// Every screen, for everybody: three widths, light and dark, four languages; axe, no scrolling sideways, no word missing.
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { isForEverybody, picture, start } from "../chromium.mjs";
import { startGateway } from "../gateway.mjs";
import { comeIn, LANGUAGES, open, SCREENS, settled, words } from "./person.mjs";

const HEIGHTS = { 360: 740, 768: 1024, 1440: 900 };

let gateway, browser;

before(async () => {
  gateway = await startGateway({ args: ["--demo=3"] });
  browser = await start([gateway.certificate]);
  await gateway.demoIsOn();
});

after(async () => {
  await browser?.close();
  await gateway?.stop();
});

/** A key that was shown in place of its words. */
const KEY = /\b(?:common|shell|pair|bench|welcome|scanner|codes|journal|orders|accounts|settings|doctor):[a-z]|\{\{/;

/** Every width by day and by night in English; the other languages where they have least room, and most. */
const LOOKS = {
  en: ["light", "dark"].flatMap((colorScheme) => [360, 768, 1440].map((width) => ({ colorScheme, width }))),
  ...Object.fromEntries(
    LANGUAGES.slice(1).map((language) => [
      language,
      [
        { colorScheme: "light", width: 360 },
        { colorScheme: "dark", width: 1440 },
      ],
    ]),
  ),
};

for (const language of LANGUAGES) {
  test(`in ${language} every screen is for everybody and speaks the language`, async () => {
    for (const { colorScheme, width } of LOOKS[language]) {
      const { page, done } = await open(browser, { locale: language, colorScheme, viewport: { width, height: HEIGHTS[width] } });
      await comeIn(page, gateway);
      for (const [path, name] of Object.entries(SCREENS)) {
        await page.goto(gateway.url + path);
        await settled(page);
        const what = `${name} ${language} ${width} ${colorScheme}`;
        assert.equal(await page.evaluate(() => document.documentElement.lang), language, what);
        assert.equal(await page.getByRole("heading", { level: 1 }).count(), 1, what);
        // Where a word is missing in a language, English would stand in for it.
        assert.equal(await page.getByRole("heading", { level: 1 }).innerText(), words(language, name)("title"), what);
        const text = await page.locator("body").innerText();
        assert.doesNotMatch(text, KEY, what);
        await isForEverybody(page, what);
        await picture(page, `${name}-${language}-${width}-${colorScheme}`);
      }
      const nav = words(language, "shell");
      await page.getByRole("link", { name: nav("nav.journal") }).first().waitFor();
      await done();
    }
  });
}

for (const [width, size] of [[2560, 19], [3840, 24]]) {
  test(`${width} pixels are used: letters grow, lines stay readable, nothing overflows`, async () => {
    for (const colorScheme of ["light", "dark"]) {
      const { page, done } = await open(browser, { colorScheme, viewport: { width, height: (width * 9) / 16 } });
      await comeIn(page, gateway);
      for (const path of ["/", "/bench", "/settings"]) {
        await page.goto(gateway.url + path);
        await settled(page);
        const what = `${SCREENS[path]} ${width} ${colorScheme}`;
        assert.ok((await page.evaluate(() => Number.parseFloat(getComputedStyle(document.body).fontSize))) >= size, what);
        // More than a hundred letters in a line are lost on the way back.
        const long = await page.evaluate(() =>
          [...document.querySelectorAll("main p, main li")]
            .filter((one) => one.textContent.length / Math.max(1, one.offsetHeight / Number.parseFloat(getComputedStyle(one).lineHeight)) > 100)
            .map((one) => one.textContent),
        );
        assert.deepEqual(long, [], what);
        const icons = await page.locator("main svg.tabler-icon").evaluateAll((all) => all.map((one) => one.getBoundingClientRect().width));
        assert.ok(icons.every((wide) => wide >= size * 0.7), `${what}: icons of ${icons}`);
        await isForEverybody(page, what);
        await picture(page, `${SCREENS[path]}-en-${width}-${colorScheme}`);
      }
      await done();
    }
  });
}

test("every screen is reached by the command palette, and the theme and language are chosen there", async () => {
  const { page, done } = await open(browser, { viewport: { width: 1440, height: 900 } });
  await comeIn(page, gateway);
  for (const [path, name] of Object.entries(SCREENS)) {
    await page.keyboard.press("Control+k");
    await page.getByPlaceholder("Go to a page or do something").fill(words("en", "shell")(`nav.${name}`));
    await page.keyboard.press("Enter");
    await page.waitForURL(gateway.url + path);
  }
  await page.keyboard.press("Control+k");
  await page.getByPlaceholder("Go to a page or do something").fill("Deutsch");
  await page.keyboard.press("Enter");
  await page.locator("html[lang=de]").waitFor();
  await page.reload();
  await page.locator("html[lang=de]").waitFor();
  await done();
});

test("a page that comes late does not take the keys from whoever is in the palette again", async () => {
  const { page, done } = await open(browser, { viewport: { width: 1440, height: 900 } });
  await comeIn(page, gateway);
  const nav = (name) => words("en", "shell")(`nav.${name}`);
  let release;
  const free = new Promise((resolve) => {
    release = resolve;
  });
  await page.route(/DoctorScreen.*\.js/, async (route) => {
    await free;
    await route.continue();
  });
  const search = page.getByPlaceholder("Go to a page or do something");
  await page.keyboard.press("Control+k");
  await search.fill(nav("doctor"));
  const asked = page.waitForRequest(/DoctorScreen.*\.js/);
  await page.keyboard.press("Enter");
  await asked;
  await page.keyboard.press("Control+k");
  await search.fill(nav("journal"));
  release();
  await page.locator("h1", { hasText: nav("doctor") }).waitFor();
  await page.keyboard.press("Enter");
  await page.waitForURL(`${gateway.url}/journal`);
  await done();
});
