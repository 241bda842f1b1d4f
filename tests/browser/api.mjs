// A running provisioning API, and its administration beside it.
import { execFileSync, spawn } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { request } from "node:https";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";

const program = process.env.PROVISIONING_API_BIN;

export async function startApi() {
  const folder = mkdtempSync(join(tmpdir(), "lowtouch-pages-"));
  const database = `sqlite:${join(folder, "api.db")}`;
  writeFileSync(join(folder, "dps.key"), "a2V5");
  writeFileSync(
    join(folder, "dps.toml"),
    '[[instance]]\nname = "north"\nid_scope = "0ne00000001"\nservice_endpoint = "https://127.0.0.1:1"\nkey_file = "dps.key"\n',
  );
  const args = ["serve", "--database", database, "--listen", "127.0.0.1:0", "--until-stdin-closes"];
  args.push("--tls-dir", join(folder, "tls"), "--dps", join(folder, "dps.toml"));
  const child = spawn(program, args, { stdio: ["pipe", "pipe", "inherit"], env: { ...process.env, RUST_LOG: "warn" } });
  const ended = new Promise((resolve) => child.once("exit", resolve));
  const ready = await new Promise((resolve, reject) => {
    createInterface(child.stdout).once("line", resolve);
    child.once("exit", (code) => reject(new Error(`provisioning-api ended with ${code} before it was ready`)));
  });
  const { url, ca } = JSON.parse(ready.replace(/^ready /, ""));
  return {
    url,
    certificate: readFileSync(join(folder, "tls", "server.pem"), "utf8"),
    /** The code of a new invite. */
    invite(name) {
      const args = ["invite", "--database", database, "--role", "installer", "--name", name];
      const link = execFileSync(program, args, { encoding: "utf8" }).split("\n")[0];
      return new URLSearchParams(link.split("#")[1]).get("code");
    },
    /** A form to a path of the API, as an app sends it. */
    post(path, fields, headers = {}) {
      const body = new URLSearchParams(fields).toString();
      const options = { method: "POST", ca: readFileSync(ca), headers: { "content-type": "application/x-www-form-urlencoded", ...headers } };
      return new Promise((resolve, reject) => {
        const asked = request(new URL(path, url), options, (answer) => {
          let text = "";
          answer.on("data", (part) => (text += part));
          answer.on("end", () => resolve({ status: answer.statusCode, text }));
        });
        asked.on("error", reject);
        asked.end(body);
      });
    },
    async stop() {
      child.stdin.end();
      await ended;
      rmSync(folder, { recursive: true });
    },
  };
}
