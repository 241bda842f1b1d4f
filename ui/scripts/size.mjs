// `npm run size` after `npm run build`: what a browser downloads until the first screen is there, gzipped. The figures of
// docs/benchmarks.md are from here. With --check it fails above the aim.
import { readFileSync } from "node:fs";
import { gzipSync } from "node:zlib";

const AIM = 220_000;
const dist = new URL(process.env.DIST ? `file://${process.env.DIST}/` : "../dist/", import.meta.url);
const manifest = JSON.parse(readFileSync(new URL(".vite/manifest.json", dist), "utf8"));

const sizes = new Map();
function measure(file) {
  if (!sizes.has(file)) sizes.set(file, gzipSync(readFileSync(new URL(file, dist)), { level: 9 }).length);
}
/** A module, its style sheets and everything that it imports before it runs. */
function take(key, seen = new Set()) {
  const chunk = manifest[key];
  if (!chunk || seen.has(key)) return;
  seen.add(key);
  measure(chunk.file);
  for (const css of chunk.css ?? []) measure(css);
  for (const imported of chunk.imports ?? []) take(imported, seen);
}

measure("index.html");
measure("first-paint.js");
take("index.html");
take("src/screens/pair/PairScreen.tsx");
for (const namespace of ["common", "shell", "pair", "scanner", "welcome"]) take(`src/locales/en/${namespace}.json`);

const all = [...sizes].sort((a, b) => b[1] - a[1]);
const sum = (of) => all.filter(([file]) => of.test(file)).reduce((total, [, bytes]) => total + bytes, 0);
for (const [file, bytes] of all) console.log(`${String(bytes).padStart(8)}  ${file}`);
console.log(`${String(sum(/\.js$/)).padStart(8)}  script, gzipped`);
console.log(`${String(sum(/\.css$/)).padStart(8)}  style sheets, gzipped`);
console.log(`${String(sum(/./)).padStart(8)}  the first screen (aim: under ${AIM})`);
if (process.argv.includes("--check") && sum(/./) > AIM) process.exit(1);
