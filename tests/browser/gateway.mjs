// A running `lowtouch serve`, and what it takes to pair real (simulated) devices through it.
import { execFileSync, spawn } from "node:child_process";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { connect as connectTcp, createServer } from "node:net";
import { connect } from "node:tls";
import { X509Certificate } from "node:crypto";

const programs = process.env.PROGRAMS;

/** A program that ends with its standard input; `ready` picks what it says when it can be used. */
async function run(name, args, ready, env = {}) {
  const child = spawn(join(programs, name), args, {
    stdio: ["pipe", "pipe", "inherit"],
    env: { ...process.env, RUST_LOG: "error", ...env },
  });
  const ended = new Promise((resolve) => child.once("exit", resolve));
  const waiting = [];
  const lines = [];
  createInterface({ input: child.stdout }).on("line", (line) => {
    const next = waiting.shift();
    if (next) next(line);
    else lines.push(line);
  });
  const line = () =>
    Promise.race([
      lines.length > 0 ? Promise.resolve(lines.shift()) : new Promise((resolve) => waiting.push(resolve)),
      ended.then((code) => {
        throw new Error(`${name} ended with ${code}`);
      }),
    ]);
  const until = async (wanted) => {
    for (;;) {
      const said = wanted(await line());
      if (said) return said;
    }
  };
  const said = await until(ready);
  return {
    said,
    until,
    write: (text) => child.stdin.write(text),
    async stop() {
      child.stdin.end();
      await ended;
    },
  };
}

const event = (name) => (line) => {
  const said = line.startsWith("{") && JSON.parse(line);
  return said && said.event === name ? said : undefined;
};
const readyLine = (line) => (line.startsWith("ready ") ? JSON.parse(line.slice("ready ".length)) : undefined);

function folder() {
  const path = mkdtempSync(join(tmpdir(), "lowtouch-page-"));
  return { path, at: (...names) => join(path, ...names), remove: () => rmSync(path, { recursive: true, force: true }) };
}

/** The certificate that a server shows, after it was checked against its CA. */
function shown(url, ca) {
  const { hostname, port } = new URL(url);
  return new Promise((resolve, reject) => {
    const socket = connect({ host: hostname, port: Number(port), ca: readFileSync(ca) }, () => {
      resolve(new X509Certificate(socket.getPeerCertificate().raw).toString());
      socket.end();
    });
    socket.once("error", reject);
  });
}

/** `lowtouch serve`, with a home of its own: nobody is signed in. */
export async function startGateway({ args = [], env = {} } = {}) {
  const home = folder();
  const own = ["serve", "--json", "--listen", "127.0.0.1:0", "--until-stdin-closes", "--data-dir", home.at("data")];
  const places = { HOME: home.path, XDG_CONFIG_HOME: home.at("config"), LOWTOUCH_CONFIG_FILE: home.at("lowtouch.toml") };
  mkdirSync(home.at("data"));
  // No keyring of this machine's is touched.
  const gateway = await run("lowtouch", [...own, ...args], event("serving"), {
    ...places,
    DBUS_SESSION_BUS_ADDRESS: `unix:path=${home.at("no-bus")}`,
    ...env,
  });
  const { url, code, caFile } = gateway.said;
  return {
    url,
    code,
    certificate: await shown(url, caFile),
    until: gateway.until,
    /** Another one-time code, as when somebody presses Enter at its console. */
    async newCode() {
      gateway.write("\n");
      return (await gateway.until(event("code"))).code;
    },
    /** Until the demo that it was started with is on. */
    demoIsOn: () => gateway.until((line) => event("demo")(line)?.demo.event === "ready"),
    async stop() {
      await gateway.stop();
      home.remove();
    },
  };
}

/** A wire to the gateway that can be cut: the same gateway at another port. */
export async function wireTo(gateway) {
  const { hostname, port } = new URL(gateway.url);
  const open = new Set();
  const server = createServer((near) => {
    const far = connectTcp({ host: hostname, port: Number(port) });
    for (const [one, other] of [[near, far], [far, near]]) {
      open.add(one);
      one.pipe(other);
      one.on("error", () => other.destroy());
      one.on("close", () => open.delete(one) && other.destroy());
    }
  });
  const listen = (at) => new Promise((resolve) => server.listen(at, hostname, resolve));
  await listen(0);
  const at = server.address().port;
  const cut = () => {
    const closed = new Promise((resolve) => server.close(resolve));
    for (const socket of open) socket.destroy();
    return closed;
  };
  return { url: `https://${hostname}:${at}`, newCode: gateway.newCode, cut, mend: () => listen(at) };
}

/**
 * A DPS, a provisioning API with an installer's token, and devices as in the field: nothing of the demo. With `wifi` (`SSID:PASSPHRASE`)
 * they want that network first.
 */
export async function startField({ devices, site, wifi }) {
  const place = folder();
  const key = "bm90IGEgc2VjcmV0LCBhIHRlc3Q=";
  const dps = await run(
    "azure-emulator",
    ["--https", "127.0.0.1:0", "--id-scope", "0ne00000001", "--service-key", key, "--tls-dir", place.at("dps"), "--until-stdin-closes"],
    readyLine,
  );
  const host = dps.said.https.replace("https://", "");
  writeFileSync(place.at("key"), key);
  writeFileSync(
    place.at("dps.toml"),
    `[[instance]]\nname = "north"\nid_scope = "0ne00000001"\nservice_endpoint = "https://${host}"\nglobal_device_endpoint = "${host}"\nkey_file = "key"\nca_file = "dps/ca.pem"\n`,
  );
  const database = `sqlite:${place.at("api.db")}`;
  const api = await run(
    "provisioning-api",
    ["serve", "--listen", "127.0.0.1:0", "--until-stdin-closes", "--database", database, "--tls-dir", place.at("tls"), "--dps", place.at("dps.toml")],
    readyLine,
  );
  const ask = (...args) =>
    execFileSync(join(programs, "provisioning-api"), [...args, "--database", database], { encoding: "utf8" });
  const named = [];
  const running = [];
  for (const registrationId of devices) {
    ask("device", "add", registrationId);
    named.push("--device", registrationId);
    const device = await run(
      "lowtouch-device",
      ["sim", "--link", "ble-sim:127.0.0.1:0", "--registration-id", registrationId, "--state-dir", place.at(registrationId), "--label-out", place.at(`${registrationId}.json`), "--until-stdin-closes", ...(wifi ? ["--wifi", wifi] : [])],
      (line) => readyLine(line) ?? (line.startsWith("{") ? JSON.parse(line) : undefined),
    );
    running.push({ ...device, registrationId, link: device.said.link, label: JSON.parse(readFileSync(place.at(`${registrationId}.json`), "utf8")) });
  }
  const token = ask("token", "--role", "installer", "--name", "Ida").trim();
  ask("order", "open", "--installer", "Ida", "--site", site, ...named);
  return {
    devices: running,
    /** What `lowtouch serve` needs to work here. */
    access: { args: ["--api", api.said.url, "--ca", api.said.ca], env: { LOWTOUCH_TOKEN: token } },
    async stop() {
      await Promise.all([...running, api, dps].map((part) => part.stop()));
      place.remove();
    },
  };
}
