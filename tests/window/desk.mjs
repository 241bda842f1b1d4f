// A desk of one's own for the tests: a display, a window manager, a session bus, a home folder, and the driver of the window.

import { spawn } from "node:child_process";
import { mkdir, mkdtemp, readdir, readFile, readlink, rm } from "node:fs/promises";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { setTimeout as pause } from "node:timers/promises";
import { remote } from "webdriverio";

/** The program, with the demo's beside it. */
const APP = process.env.LOWTOUCH_APP;
const DRIVER = process.env.TAURI_DRIVER;
export const SCREENS = process.env.SCREENS;

/** Longest wait for anything that a person would call quick. */
export const SOON = 20_000;

export class Desk {
  #children = [];
  #driver;

  static async set(program = APP) {
    const desk = new Desk();
    desk.program = program;
    desk.home = await mkdtemp(join(tmpdir(), "lowtouch-window-"));
    const runtime = join(desk.home, "run");
    await mkdir(runtime, { mode: 0o700 });
    const [xvfb, display] = await startXvfb();
    desk.#children.push(xvfb);
    desk.env = {
      PATH: process.env.PATH,
      HOME: desk.home,
      TMPDIR: desk.home,
      XDG_RUNTIME_DIR: runtime,
      DISPLAY: `:${display}`,
      LANG: "C.UTF-8",
      // No GPU here.
      WEBKIT_DISABLE_DMABUF_RENDERER: "1",
      // The panel would ask a newcomer how it should look.
      XFCE_PANEL_MIGRATE_DEFAULT: "1",
    };
    const [bus, address] = await startBus(desk.env);
    desk.#children.push(bus);
    desk.env.DBUS_SESSION_BUS_ADDRESS = address;
    desk.#children.push(spawn("openbox", { env: desk.env, stdio: "ignore" }));
    return desk;
  }

  /** Opens the window, with a driver of its own: one that lost its window takes no other. `args` are the program's. */
  async open(...args) {
    const port = await freePort();
    const native = await freePort();
    const options = ["--port", port, "--native-port", native, "--native-driver", "/usr/bin/WebKitWebDriver"];
    this.#driver = spawn(DRIVER, options.map(String), { env: this.env, stdio: ["ignore", "inherit", "inherit"] });
    await until("tauri-driver answers", async () => (await fetch(`http://127.0.0.1:${port}/status`)).ok);
    return remote({
      hostname: "127.0.0.1",
      port,
      logLevel: "error",
      connectionRetryCount: 0,
      connectionRetryTimeout: 60_000,
      capabilities: {
        browserName: "wry",
        "wdio:enforceWebDriverClassic": true,
        "tauri:options": { application: this.program, args },
      },
    });
  }

  /** Ends the driver, and with it a window that is still open. */
  async close() {
    if (!this.#driver) return;
    await end(this.#driver);
    this.#driver = undefined;
    // About once in thirty times the driver ends the page's process alone, and its window waits for a person.
    for (const { pid, program } of await this.processes()) {
      if (program === this.program) process.kill(pid, "SIGTERM");
    }
  }

  /** Runs the program without a driver; gives its exit code. */
  async run(...args) {
    const child = spawn(this.program, args, { env: this.env, stdio: "inherit" });
    return new Promise((resolve) => child.once("exit", (code) => resolve(code)));
  }

  /** Presses keys where a person's would go: at the window in front. */
  async press(keys) {
    await finished(spawn("xdotool", ["key", "--clearmodifiers", keys], { env: this.env, stdio: "inherit" }));
  }

  /** Types into what has the focus. */
  async type(text) {
    await finished(spawn("xdotool", ["type", "--delay", "5", text], { env: this.env, stdio: "inherit" }));
  }

  /** Starts a part of the desktop that not every test has; gives what ends it. */
  start(program, ...args) {
    const child = spawn(program, args, { env: this.env, stdio: "ignore" });
    this.#children.push(child);
    return async () => {
      await end(child);
      this.#children = this.#children.filter((other) => other !== child);
    };
  }

  /** Runs a program of the desk to its end; gives what it printed. */
  async ask(program, ...args) {
    const child = spawn(program, args, { env: this.env, stdio: ["ignore", "pipe", "inherit"] });
    let said = "";
    child.stdout.on("data", (data) => {
      said += data;
    });
    await finished(child);
    return said;
  }

  /** What the notification daemon has shown since the desk was set, the newest first. */
  async notifications() {
    // Its history has those that are off the screen.
    await this.ask("dunstctl", "close-all");
    const { data } = JSON.parse(await this.ask("dunstctl", "history"));
    return data.flat().map(({ summary, body }) => ({ title: summary.data, text: body.data }));
  }

  async minimise() {
    await finished(spawn("xdotool", ["getactivewindow", "windowminimize"], { env: this.env, stdio: "inherit" }));
  }

  /**
   * Keeps a picture of the display for people to look at, native menu included. (WebDriver's own screenshot waits for a
   * frame that a page at rest does not draw.)
   */
  async picture(name) {
    await mkdir(SCREENS, { recursive: true });
    await finished(spawn("import", ["-window", "root", join(SCREENS, `window-${name}.png`)], { env: this.env }));
  }

  /** The name of the window in front; nothing where there is none. */
  async inFront() {
    const child = spawn("xdotool", ["getactivewindow", "getwindowname"], { env: this.env, stdio: ["ignore", "pipe", "ignore"] });
    let name = "";
    child.stdout.on("data", (data) => {
      name += data;
    });
    await finished(child).catch(() => undefined);
    return name.trim();
  }

  /** Whether a window of that name is on the screen. */
  async shows(name) {
    const found = await this.ask("xdotool", "search", "--onlyvisible", "--name", `^${name}$`).catch(() => "");
    return found.trim() !== "";
  }

  /** The command lines of every process that was started at this desk, but for the desk's own. */
  async processes() {
    const own = new Set(this.#children.map((child) => String(child.pid)));
    const found = [];
    for (const pid of await readdir("/proc")) {
      if (!/^\d+$/.test(pid) || own.has(pid)) continue;
      try {
        const environment = await readFile(`/proc/${pid}/environ`, "utf8");
        const variables = environment.split("\0");
        if (!variables.includes(`HOME=${this.home}`)) continue;
        // The desktop's own services, which the bus starts when somebody asks for them; they end with it.
        if (variables.some((variable) => variable.startsWith("DBUS_STARTER_ADDRESS="))) continue;
        const line = (await readFile(`/proc/${pid}/cmdline`, "utf8")).replaceAll("\0", " ").trim();
        found.push({ pid: Number(pid), line, program: await readlink(`/proc/${pid}/exe`) });
      } catch {
        // It ended meanwhile.
      }
    }
    return found;
  }

  /** Waits until nothing of the app runs any more, the demo's program and the page's processes included. */
  async ended() {
    const ofApp = ({ program }) => program.startsWith(dirname(this.program)) || program.includes("webkit2gtk");
    await until("everything that the app started has ended", async () => {
      const left = (await this.processes()).filter(ofApp);
      if (left.length > 0) throw new Error(left.map(({ line }) => line).join("\n"));
      return true;
    }, 2 * SOON);
  }

  /** Ends what the program left behind, by its process IDs. */
  async sweep() {
    for (const { pid, line } of await this.processes()) {
      if (!line.includes("WebKitWebDriver")) process.kill(pid, "SIGKILL");
    }
  }

  async clear() {
    await this.close();
    for (const child of this.#children.toReversed()) await end(child);
    await this.sweep();
    await rm(this.home, { recursive: true, force: true, maxRetries: 5, retryDelay: 200 });
  }
}

/** Asks again until the answer is true; an error counts as no. */
export async function until(what, condition, deadline = SOON) {
  const end = Date.now() + deadline;
  let last;
  for (;;) {
    try {
      last = await condition();
      if (last) return last;
    } catch (error) {
      last = error;
    }
    if (Date.now() > end) throw new Error(`${what}: not within ${deadline / 1000} s (${last})`);
    await pause(50);
  }
}

function startXvfb() {
  const child = spawn("Xvfb", ["-displayfd", "3", "-screen", "0", "1280x900x24", "-nolisten", "tcp"], {
    stdio: ["ignore", "ignore", "ignore", "pipe"],
  });
  return new Promise((resolve, reject) => {
    child.stdio[3].once("data", (data) => resolve([child, Number(data)]));
    child.once("exit", (code) => reject(new Error(`Xvfb ended with ${code}`)));
  });
}

function startBus(env) {
  const child = spawn("dbus-daemon", ["--session", "--nofork", "--print-address=3"], {
    env,
    stdio: ["ignore", "ignore", "ignore", "pipe"],
  });
  return new Promise((resolve, reject) => {
    child.stdio[3].once("data", (data) => resolve([child, String(data).trim()]));
    child.once("exit", (code) => reject(new Error(`dbus-daemon ended with ${code}`)));
  });
}

async function freePort() {
  const server = createServer();
  await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address();
  await new Promise((resolve) => server.close(resolve));
  return port;
}

async function end(child) {
  const ended = new Promise((resolve) => child.once("exit", resolve));
  if (child.exitCode !== null || child.signalCode !== null) return;
  child.kill("SIGTERM");
  const late = new AbortController();
  const killed = pause(5_000, undefined, { signal: late.signal }).then(
    () => child.kill("SIGKILL"),
    () => undefined,
  );
  await Promise.race([ended, killed]);
  late.abort();
}

async function finished(child) {
  const code = await new Promise((resolve) => child.once("exit", resolve));
  if (code !== 0) throw new Error(`${child.spawnfile} ended with ${code}`);
}
