// The pages of sign-in in a real browser: for everybody, by the keyboard alone, without a script, and with hostile words in them.
import assert from "node:assert/strict";
import { createHash, randomBytes } from "node:crypto";
import { createServer } from "node:http";
import { after, before, test } from "node:test";
import { startApi } from "../api.mjs";
import { isForEverybody, isForFingers, LOOKS, picture, showsItsFocus, start } from "../chromium.mjs";

let api, browser, app;

/** The app's own address, which the browser is led back to: `came` resolves with what it brings. */
async function listen() {
  let arrived;
  const came = { next: () => new Promise((resolve) => (arrived = resolve)) };
  const server = createServer((asked, answer) => {
    const url = new URL(asked.url, "http://127.0.0.1");
    if (url.pathname === "/back") arrived?.(url.searchParams);
    answer.end("<!doctype html><title>Back</title>");
  });
  await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
  return { ...came, uri: `http://127.0.0.1:${server.address().port}/back`, stop: () => server.close() };
}

before(async () => {
  api = await startApi();
  app = await listen();
  browser = await start([api.certificate]);
});

after(async () => {
  await browser?.close();
  app?.stop();
  await api?.stop();
});

function begin(changes = {}) {
  const verifier = randomBytes(32).toString("base64url");
  const asked = {
    response_type: "code",
    client_id: "lowtouch",
    redirect_uri: app.uri,
    state: randomBytes(8).toString("hex"),
    code_challenge: createHash("sha256").update(verifier).digest("base64url"),
    code_challenge_method: "S256",
    ...changes,
  };
  return { verifier, asked, url: `${api.url}/oauth/authorize?${new URLSearchParams(asked)}` };
}

async function otherScreen() {
  const { text } = await api.post("/oauth/device_authorization", { client_id: "lowtouch" });
  return JSON.parse(text);
}

/** A page of its own; whatever the browser complains of fails the test. */
async function open(look, url, more = {}) {
  const context = await browser.newContext({ ...look, ...more });
  const page = await context.newPage();
  const complaints = [];
  // The answer's own status is no complaint.
  page.on("console", (said) => !/the server responded with a status of/.test(said.text()) && complaints.push(said.text()));
  page.on("pageerror", (error) => complaints.push(String(error)));
  page.on("dialog", (dialog) => complaints.push(`a dialog: ${dialog.message()}`) && dialog.dismiss());
  const answer = url && (await page.goto(url));
  const done = async () => {
    assert.deepEqual(complaints, []);
    await context.close();
  };
  return { page, answer, done };
}

/** Each page as people can get to it. */
const PAGES = {
  authorize: (look) => open(look, begin().url),
  "authorize-mistake": async (look) => {
    const opened = await open(look, begin().url);
    await opened.page.getByLabel("Invite code").fill("AAAA-AAAA-AAAA-AAAA");
    await opened.page.getByRole("button").click();
    await opened.page.getByRole("alert").waitFor();
    return opened;
  },
  device: (look) => open(look, `${api.url}/oauth/device`),
  "device-mistake": async (look) => {
    const opened = await open(look, `${api.url}/oauth/device?user_code=BCDF-GHJK`);
    await opened.page.getByLabel("Invite code").fill("AAAA-AAAA-AAAA-AAAA");
    await opened.page.getByRole("button").click();
    await opened.page.getByRole("alert").waitFor();
    return opened;
  },
  approved: async (look) => {
    const opened = await open(look, (await otherScreen()).verification_uri_complete);
    await opened.page.getByLabel("Invite code").fill(api.invite("Ida"));
    await opened.page.getByRole("button").click();
    await opened.page.getByRole("status").waitFor();
    return opened;
  },
  "wrong-link": (look) => open(look, begin({ client_id: "somebody" }).url),
  "foreign-form": async (look) => {
    const opened = await open(look);
    // Another site's page, which sends our form.
    await opened.page.route("https://evil.example/", (route) =>
      route.fulfill({
        contentType: "text/html",
        body: `<form method="post" action="${api.url}/oauth/authorize"><button>x</button></form>`,
      }),
    );
    await opened.page.goto("https://evil.example/");
    const answer = opened.page.waitForResponse((answer) => answer.url().startsWith(api.url));
    await opened.page.getByRole("button").click();
    assert.equal((await answer).status(), 403);
    await opened.page.getByRole("alert").waitFor();
    return opened;
  },
};

for (const [name, go] of Object.entries(PAGES)) {
  test(`${name} is for everybody, on a phone and at a desk, by day and by night`, async () => {
    for (const look of LOOKS) {
      const { page, done } = await go(look);
      const what = `${name} ${look.name}`;
      await isForEverybody(page, what);
      if (look.hasTouch) await isForFingers(page, what);
      assert.equal(await page.locator("script").count(), 0, what);
      assert.equal(await page.locator("h1").count(), 1, what);
      await picture(page, `${name}-${look.name}`);
      await done();
    }
  });
}

test("nothing but the page's own style may be loaded, framed or sent elsewhere", async () => {
  for (const url of [begin().url, `${api.url}/oauth/device`, begin({ client_id: "x" }).url]) {
    const { page, answer, done } = await open({}, url);
    const headers = answer.headers();
    const policy = Object.fromEntries(
      headers["content-security-policy"].split(";").map((part) => {
        const [name, ...sources] = part.trim().split(/\s+/);
        return [name, sources];
      }),
    );
    assert.deepEqual(policy["default-src"], ["'none'"]);
    assert.match(policy["style-src"].join(" "), /^'sha256-[A-Za-z0-9+/]{43}='$/);
    assert.deepEqual([policy["base-uri"], policy["frame-ancestors"]], [["'none'"], ["'none'"]]);
    const targets = url.includes("authorize") && answer.ok() ? ["'self'", new URL(app.uri).origin] : ["'self'"];
    assert.deepEqual(policy["form-action"], targets);
    assert.deepEqual(Object.keys(policy).sort(), ["base-uri", "default-src", "form-action", "frame-ancestors", "style-src"]);
    assert.equal(headers["x-content-type-options"], "nosniff");
    assert.equal(headers["cache-control"], "no-store");
    // The style is applied: the policy knows it.
    const ground = await page.evaluate(() => getComputedStyle(document.querySelector("main")).maxWidth);
    assert.equal(ground, "448px");
    await done();
  }
});

test("without a script and by the keyboard alone a person signs in, and the app gets its tokens", async () => {
  for (const look of LOOKS) {
    const { verifier, asked, url } = begin();
    const { page, done } = await open(look, url, { javaScriptEnabled: false });
    const back = app.next();
    await page.keyboard.press("Tab");
    await page.keyboard.type("AAAA-AAAA-AAAA-AAAA");
    await page.keyboard.press("Enter");
    await page.getByRole("alert").waitFor();
    // After the mistake from the beginning again; this time the button is pressed.
    await page.keyboard.press("Tab");
    await page.keyboard.type(api.invite("Ida").toLowerCase());
    await page.keyboard.press("Tab");
    await page.keyboard.press("Space");
    const brought = await back;
    assert.equal(brought.get("state"), asked.state);
    const { status, text } = await api.post("/oauth/token", {
      grant_type: "authorization_code",
      client_id: "lowtouch",
      code: brought.get("code"),
      redirect_uri: asked.redirect_uri,
      code_verifier: verifier,
    });
    assert.equal(status, 200, text);
    assert.ok(JSON.parse(text).refresh_token);
    await done();
  }
});

test("without a script and by the keyboard alone a person signs another screen in", async () => {
  const screen = await otherScreen();
  const { page, done } = await open(LOOKS[0], screen.verification_uri, { javaScriptEnabled: false });
  await page.keyboard.press("Tab");
  await page.keyboard.type(screen.user_code);
  await page.keyboard.press("Tab");
  await page.keyboard.type(api.invite("Ida"));
  await page.keyboard.press("Enter");
  await page.getByRole("heading", { name: "Signed in" }).waitFor();
  const grant = "urn:ietf:params:oauth:grant-type:device_code";
  const { status } = await api.post("/oauth/token", { grant_type: grant, client_id: "lowtouch", device_code: screen.device_code });
  assert.equal(status, 200);
  await done();
});

test("the focus is seen wherever it goes, and goes to everything in the page's order", async () => {
  for (const look of LOOKS) {
    const { page, done } = await open(look, `${api.url}/oauth/device`);
    for (const expected of ["user_code", "invite", "BUTTON"]) {
      await page.keyboard.press("Tab");
      assert.equal(await page.evaluate(() => document.activeElement.id || document.activeElement.tagName), expected);
      await showsItsFocus(page, `device ${look.name}`);
    }
    await done();
  }
});

const HOSTILE = [
  `"><script>alert(1)</script>`,
  `'><img src=x onerror=alert(1)>`,
  `</title><svg onload=alert(1)>`,
  `javascript:alert(1)`,
  `\u202egnp.exe {{7*7}} %00 ${"W".repeat(2000)}`,
];

test("hostile words in a link, an invite or a name are shown as words or not at all", async () => {
  for (const words of HOSTILE) {
    const links = [
      begin({ state: words }).url,
      begin({ client_id: words }).url,
      begin({ redirect_uri: words }).url,
      begin({ scope: words, nonce: words }).url,
      `${api.url}/oauth/device?user_code=${encodeURIComponent(words)}`,
    ];
    for (const url of links) {
      const { page, done } = await open(LOOKS[0], url);
      const found = await page.evaluate(() => ({
        foreign: document.querySelectorAll("script, img, iframe, a, svg:not(.sign), [onload], [onerror]").length,
        state: document.querySelector("input[name=state]")?.value,
      }));
      assert.equal(found.foreign, 0, url);
      if (found.state !== undefined && url === links[0]) assert.equal(found.state, words);
      await isForEverybody(page, url);
      await done();
    }
    // As an invite: the page says that it is not good, and does not repeat it.
    const { page, done } = await open(LOOKS[0], begin().url);
    await page.getByLabel("Invite code").fill(words);
    await page.getByRole("button").click();
    await page.getByRole("alert").waitFor();
    assert.ok(!(await page.content()).includes("alert(1)"));
    await done();
  }
});

test("what comes back with the page goes to the app letter by letter", async () => {
  const state = `"><b>&amp;%26 ü`;
  const { url } = begin({ state });
  const { page, done } = await open({}, url);
  const back = app.next();
  await page.getByLabel("Invite code").fill(api.invite(HOSTILE[0]));
  await page.getByRole("button").click();
  assert.equal((await back).get("state"), state);
  await done();
});
