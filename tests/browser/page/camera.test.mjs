// A label in front of the camera, and as a picture: from "Scan the label" to the hub. The camera is Chromium's own fake one, which plays a file.
import assert from "node:assert/strict";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import encodeQR from "qr";
import { isForEverybody, picture, start } from "../chromium.mjs";
import { startField, startGateway } from "../gateway.mjs";
import { comeIn, open, paired } from "./person.mjs";

let field, gateway, folder, withCamera, emptyView, without;

before(async () => {
  folder = mkdtempSync(join(tmpdir(), "lowtouch-camera-"));
  field = await startField({ devices: ["valve-1", "valve-2", "valve-3"], site: "Plant" });
  gateway = await startGateway(field.access);
  const film = (name) => join(folder, `${name}.mjpeg`);
  const seeing = (name) =>
    start([gateway.certificate], "--use-fake-device-for-media-stream", `--use-file-for-fake-video-capture=${film(name)}`);
  withCamera = await seeing("label");
  emptyView = await seeing("nothing");
  // A fake camera of which there are none.
  without = await start([gateway.certificate], "--use-fake-device-for-media-stream=device-count=0");
  writeFileSync(film("label"), await photo(textOf(field.devices[0])));
  writeFileSync(film("nothing"), await photo());
});

after(async () => {
  await withCamera?.close();
  await emptyView?.close();
  await without?.close();
  await gateway?.stop();
  await field?.stop();
  rmSync(folder, { recursive: true, force: true });
});

/** The label, which does not say where its device is, so that the page asks. */
const textOf = (device) => JSON.stringify({ ...device.label, transport: undefined });

/** A picture of the label as it is held: at an angle, on something, off the middle. One such picture is also a film (MJPEG). */
async function photo(text, type = "jpeg") {
  const page = await withCamera.newPage({ viewport: { width: 1280, height: 720 } });
  const held = "position: absolute; left: 420px; top: 110px; width: 440px; padding: 30px; background: #f4f4ee; transform: perspective(900px) rotateY(14deg) rotate(-7deg)";
  const seen = text ? `<div style="${held}">${encodeQR(text, "svg")}</div>` : "<h1>A pump</h1>";
  await page.setContent(`<body style="background: linear-gradient(#556, #99a)">${seen}</body>`);
  const taken = await page.screenshot({ type });
  await page.close();
  return taken;
}

/** The camera is on while a track of it lives. */
const watchTracks = (page) =>
  page.addInitScript(() => {
    window.tracks = [];
    const ask = navigator.mediaDevices.getUserMedia.bind(navigator.mediaDevices);
    navigator.mediaDevices.getUserMedia = async (wish) => {
      const stream = await ask(wish);
      window.tracks.push(...stream.getTracks());
      return stream;
    };
  });
const tracks = (page) => page.evaluate(() => window.tracks.map((track) => track.readyState));

/** Where the device is, which the label did not say. */
async function sayWhere(page, device) {
  await page.getByRole("dialog").getByRole("textbox", { name: "Address" }).fill(device.link);
  await page.getByRole("dialog").getByRole("button", { name: "Pair", exact: true }).click();
}

test("a label in front of the camera pairs its device, and the camera is off at once", async () => {
  const { page, context, done } = await open(withCamera);
  await context.grantPermissions(["camera"], { origin: gateway.url });
  await watchTracks(page);
  await comeIn(page, gateway);
  await page.getByRole("button", { name: "Scan the label" }).click();
  await page.getByRole("dialog").waitFor();
  assert.deepEqual(await tracks(page), ["ended"]);
  await sayWhere(page, field.devices[0]);
  assert.match(await paired(page), /\./);
  await done();
});

test("where the camera was allowed a phone begins with it, and leaving or turning it off lets it go", async () => {
  const { page, context, done } = await open(emptyView, { viewport: { width: 360, height: 740 }, hasTouch: true, isMobile: true });
  await context.grantPermissions(["camera"], { origin: gateway.url });
  await watchTracks(page);
  await comeIn(page, gateway);
  const off = page.getByRole("button", { name: "Turn the camera off" });
  await off.waitFor();
  assert.deepEqual(await tracks(page), ["live"]);
  await isForEverybody(page, "the viewfinder");
  await picture(page, "camera-on");
  await off.click();
  await page.getByRole("button", { name: "Scan the label" }).waitFor();
  assert.deepEqual(await tracks(page), ["ended"]);
  await page.getByRole("button", { name: "Scan the label" }).click();
  await off.waitFor();
  await page.getByRole("link", { name: "Journal" }).first().click();
  await page.waitForURL(/journal/);
  await page.getByRole("heading", { level: 1, name: "Journal" }).waitFor();
  assert.deepEqual(await tracks(page), ["ended", "ended"]);
  await done();
});

for (const [name, browser, allowed, title] of [
  ["refused", () => withCamera, false, "The camera is not allowed"],
  ["not there", () => without, true, "No camera here"],
]) {
  test(`a camera that is ${name} is said with what to do, and the other ways lead to the hub`, async () => {
    const { page, context, done } = await open(browser());
    // What is granted at all makes the rest refused.
    await context.grantPermissions(allowed ? ["camera"] : ["clipboard-read"], { origin: gateway.url });
    await comeIn(page, gateway);
    await page.getByRole("button", { name: "Scan the label" }).click();
    const told = page.getByRole("alert");
    await told.getByText(title).waitFor();
    assert.match(await told.innerText(), /picture/);
    await told.getByRole("button", { name: "Try again" }).waitFor();
    await isForEverybody(page, title);
    await picture(page, `camera-${name.replaceAll(" ", "-")}`);

    const device = field.devices[allowed ? 1 : 2];
    const label = { name: "label.png", mimeType: "image/png", buffer: await photo(textOf(device), "png") };
    const choosing = page.waitForEvent("filechooser");
    await page.getByRole("button", { name: "Picture" }).click();
    await (await choosing).setFiles(label);
    await page.getByRole("dialog").waitFor();
    await sayWhere(page, device);
    assert.match(await paired(page), /\./);
    await done();
  });
}

/** Drops a file on the page, as from a folder beside the browser's window. */
async function drop(page, bytes, name, type) {
  const transfer = await page.evaluateHandle(
    async ([base64, name, type]) => {
      const bytes = Uint8Array.from(atob(base64), (one) => one.charCodeAt(0));
      const transfer = new DataTransfer();
      transfer.items.add(new File([bytes], name, { type }));
      return transfer;
    },
    [bytes.toString("base64"), name, type],
  );
  const place = page.getByRole("heading", { level: 1 });
  await place.dispatchEvent("dragover", { dataTransfer: transfer });
  await page.getByText("Drop the picture here").waitFor();
  await place.dispatchEvent("drop", { dataTransfer: transfer });
  await page.getByText("Drop the picture here").waitFor({ state: "detached" });
}

test("a picture that is dropped anywhere on the page is read, and one without a code is said to have none", async () => {
  const { page, done } = await open(withCamera);
  await comeIn(page, gateway);
  await page.getByRole("button", { name: "Scan the label" }).waitFor();
  await drop(page, await photo(), "pump.jpg", "image/jpeg");
  const failure = page.getByRole("alert");
  await failure.getByText("picture-without-code").waitFor();
  await picture(page, "picture-without-code");
  await drop(page, Buffer.from("a text"), "notes.txt", "text/plain");
  await failure.getByText("picture-unreadable").waitFor();
  await drop(page, await photo(textOf(field.devices[0])), "label.jpg", "image/jpeg");
  await page.getByRole("dialog").getByText(field.devices[0].label.name).waitFor();
  assert.equal(await failure.count(), 0, "what was wrong before is no longer said");
  await done();
});

test("a bench goes on scanning: a label that stays in sight is put there once", async () => {
  const { page, context, done } = await open(withCamera);
  await context.grantPermissions(["camera"], { origin: gateway.url });
  await watchTracks(page);
  await comeIn(page, gateway, "/bench");
  await page.getByRole("button", { name: "Add devices" }).click();
  await page.getByRole("button", { name: "Scan the label" }).click();
  await page.getByRole("status").getByText(field.devices[0].label.name).waitFor();
  assert.deepEqual(await tracks(page), ["live"]);
  // Longer in sight than ten looks take.
  const looks = await page.evaluateHandle(() => {
    const video = document.querySelector("video");
    return { start: video.currentTime, video };
  });
  await page.waitForFunction(({ start, video }) => video.currentTime > start + 1.5, looks);
  assert.match(await page.getByRole("status").filter({ hasText: field.devices[0].label.name }).innerText(), /1/);
  await page.getByRole("button", { name: "Done" }).click();
  await page.waitForFunction(() => window.tracks.every((track) => track.readyState === "ended"));
  await done();
});
