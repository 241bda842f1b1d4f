// Start, memory and size of the desktop app, as lines of docs/benchmarks.md: npm run measure -- PROGRAM
// A cold start needs root: the system's file cache is emptied before it.

import { readFile, stat, writeFile } from "node:fs/promises";
import { setTimeout as pause } from "node:timers/promises";
import { Desk, until } from "./desk.mjs";

const program = process.argv[2] ?? process.env.LOWTOUCH_APP;
const STARTS = 7;
/** Memory is looked at this long after the window can be used. */
const REST = 10_000;

const median = (all) => all.toSorted((a, b) => a - b)[Math.floor(all.length / 2)];

/** When a process began, in seconds since boot; 10 ms is as fine as the kernel says it. */
async function began(pid) {
  const line = await readFile(`/proc/${pid}/stat`, "utf8");
  return Number(line.slice(line.lastIndexOf(")") + 2).split(" ")[19]) / 100;
}

async function uptime() {
  return Number((await readFile("/proc/uptime", "utf8")).split(" ")[0]);
}

/** Seconds from the program's first moment until a person can press the first screen's button. */
async function start(desk) {
  const window = await desk.open();
  await until("the page can be used", () => window.execute(() => document.querySelector("main button:not([disabled])") !== null));
  const now = await uptime();
  const app = (await desk.processes()).find((process) => process.program === program);
  return { window, seconds: now - (await began(app.pid)) };
}

/** Of every process of the app, in MB: RSS counts shared pages for each, PSS once. */
async function memory(desk) {
  const sum = { rss: 0, pss: 0, processes: 0 };
  for (const { pid, line } of await desk.processes()) {
    if (line.includes("WebKitWebDriver")) continue;
    const rollup = await readFile(`/proc/${pid}/smaps_rollup`, "utf8");
    const kilobytes = (name) => Number(rollup.match(new RegExp(`^${name}:\\s+(\\d+)`, "m"))[1]);
    sum.rss += kilobytes("Rss") / 1000;
    sum.pss += kilobytes("Pss") / 1000;
    sum.processes += 1;
  }
  return sum;
}

const desk = await Desk.set(program);
try {
  const cold = [];
  const warm = [];
  let rest;
  for (let nth = 0; nth < STARTS; nth += 1) {
    for (const [figures, isCold] of [[cold, true], [warm, false]]) {
      if (isCold) await writeFile("/proc/sys/vm/drop_caches", "3");
      const { window, seconds } = await start(desk);
      figures.push(seconds);
      if (nth === 0 && !isCold) {
        await pause(REST);
        rest = await memory(desk);
      }
      await window.deleteSession();
      await desk.close();
      await until("the app is gone", async () => !(await desk.processes()).some((process) => process.program === program));
    }
  }
  const range = (all) => `${median(all).toFixed(2)} s (${Math.min(...all).toFixed(2)}–${Math.max(...all).toFixed(2)})`;
  console.log(`| window start to usable, cold, median of ${STARTS} | ${range(cold)} |`);
  console.log(`| window start to usable, warm, median of ${STARTS} | ${range(warm)} |`);
  console.log(`| memory at rest, ${rest.processes} processes | RSS ${rest.rss.toFixed(0)} MB, PSS ${rest.pss.toFixed(0)} MB |`);
  console.log(`| the program | ${((await stat(program)).size / 1e6).toFixed(1)} MB |`);
} finally {
  await desk.clear();
}
