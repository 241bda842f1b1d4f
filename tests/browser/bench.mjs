// The page while 32 devices are paired at once: `PROGRAMS=../../target/debug npm run bench`. What is written of it in docs/benchmarks.md comes from here.
import { execFileSync } from "node:child_process";
import { copyFileSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { start } from "./chromium.mjs";
import { startGateway } from "./gateway.mjs";
import { comeIn, open } from "./page/person.mjs";

const DEVICES = 32;
/** Tasks that are told one by one; more than 50 ms is what browsers call long. */
const TOLD_MS = 25;
/** What is told of what a task was busy with. */
const PARTS = /^(FunctionCall|EvaluateScript|v8\.compile.*|V8\.GC.*|MinorGC|MajorGC|UpdateLayoutTree|Layout|PrePaint|Paint|Layerize|Commit|ParseHTML|HitTest|EventDispatch|FireAnimationFrame|TimerFire|RunMicrotasks|ResourceReceivedData|XHRReadyStateChange|ParseAuthorStyleSheet)$/;

const gateway = await startGateway({ args: [`--demo=${DEVICES}`] });
const folder = mkdtempSync(join(tmpdir(), "lowtouch-bench-"));
const browser = await start([gateway.certificate]);
try {
  await gateway.demoIsOn();
  const { page } = await open(browser, { viewport: { width: 1440, height: 900 } });
  page.setDefaultTimeout(120_000);
  await comeIn(page, gateway, "/bench");
  await page.getByRole("button", { name: "Add devices" }).click();
  await page.getByRole("button", { name: `Add all ${DEVICES}` }).click();
  await page.getByRole("button", { name: "Done" }).click();
  prefer();
  await page.evaluate(() => {
    window.frames_ = [];
    const frame = (now) => {
      window.frames_.push(now);
      requestAnimationFrame(frame);
    };
    requestAnimationFrame(frame);
  });
  await browser.startTracing(page, {
    path: join(folder, "trace.json"),
    categories: ["devtools.timeline", "disabled-by-default-devtools.timeline", "toplevel", "v8", ...(process.env.TRACE ? ["disabled-by-default-v8.cpu_profiler"] : [])],
  });
  const began = Date.now();
  await page.getByRole("button", { name: /^Start all / }).click();
  await page.getByText(`${DEVICES} of ${DEVICES} paired`).waitFor();
  const seconds = (Date.now() - began) / 1000;
  await browser.stopTracing();
  const frames = await page.evaluate(() => window.frames_);
  const gaps = frames.slice(1).map((now, index) => now - frames[index]).sort((a, b) => a - b);
  const at = (share) => gaps[Math.min(gaps.length - 1, Math.floor(gaps.length * share))].toFixed(1);
  console.log(`${DEVICES} paired after ${seconds.toFixed(0)} s; between two frames ${at(0.5)} ms (median), ${at(0.99)} (99 in 100), ${at(1)} (longest)`);
  // To be looked at in Chromium's own tools; with samples of what ran, which take a moment to begin.
  if (process.env.TRACE) copyFileSync(join(folder, "trace.json"), process.env.TRACE);
  tasks(JSON.parse(readFileSync(join(folder, "trace.json"), "utf8")).traceEvents);
} finally {
  await browser.close();
  await gateway.stop();
  rmSync(folder, { recursive: true });
}

/** The simulated devices and their cloud want the same processors; a person's device has its own. Needs root. */
function prefer() {
  if (process.getuid() !== 0) return console.log("not root: the browser has no priority, and the figures say nothing on a busy machine");
  const all = execFileSync("ps", ["-eo", "pid=,ppid=,comm="], { encoding: "utf8" }).trim().split("\n").map((line) => line.trim().split(/\s+/));
  const below = (pid) => all.filter(([, parent]) => parent === pid).flatMap((one) => [one, ...below(one[0])]);
  // This process started the gateway, too; the browser's are those of Chromium.
  for (const [pid, , name] of below(String(process.pid))) {
    if (name.includes("chrom")) execFileSync("sh", ["-c", `renice -n -18 $(ls /proc/${pid}/task) >/dev/null 2>&1 || true`]);
  }
}

function tasks(events) {
  // The page's own thread is the one that did most of the painting's preparation.
  const work = new Map();
  for (const { name, pid, tid } of events) if (name === "FunctionCall") work.set(`${pid} ${tid}`, (work.get(`${pid} ${tid}`) ?? 0) + 1);
  const [main] = [...work].sort((a, b) => b[1] - a[1])[0];
  const mine = events.filter(({ pid, tid, ph }) => `${pid} ${tid}` === main && ph === "X").sort((a, b) => a.ts - b.ts);
  const first = mine[0].ts;
  const all = mine.filter(({ name }) => name === "RunTask");
  const long = all.filter(({ dur }) => dur > TOLD_MS * 1000);
  console.log(`longest task ${(Math.max(...all.map(({ dur }) => dur)) / 1000).toFixed(1)} ms; over ${TOLD_MS} ms: ${long.length} of ${all.length}; over 50 ms: ${all.filter(({ dur }) => dur > 50_000).length}; most processor time of one: ${(Math.max(...all.map(({ tdur }) => tdur ?? 0)) / 1000).toFixed(1)} ms`);
  for (const task of long.sort((a, b) => b.dur - a.dur).slice(0, 8)) {
    const inside = mine.filter(({ ts, dur, name }) => ts >= task.ts && ts + (dur ?? 0) <= task.ts + task.dur && PARTS.test(name) && dur > 500);
    const sums = new Map();
    for (const { name, dur } of inside) sums.set(name, (sums.get(name) ?? 0) + dur);
    const parts = [...sums].sort((a, b) => b[1] - a[1]).map(([name, dur]) => `${name} ${(dur / 1000).toFixed(1)}`);
    console.log(`  ${(task.dur / 1000).toFixed(1)} ms (${((task.tdur ?? 0) / 1000).toFixed(1)} of the processor) at ${((task.ts - first) / 1e6).toFixed(2)} s: ${parts.join(", ")}`);
  }
}
