// Starts azure-emulator, makes the devices' certificates, runs node's test runner against it, and ends it.
//
// The binary: AZURE_EMULATOR_BIN, else the workspace's debug build. Nothing but it and Node is needed.
// The runner is a process of its own because NODE_EXTRA_CA_CERTS is read only when a process starts.
import { spawn, spawnSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { existsSync, mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';

const READY_DEADLINE_MS = 20_000;
const DEVICES = ['x509-group-1', 'x509-individual-1', 'x509-stranger-1'];

const here = dirname(fileURLToPath(import.meta.url));
const exe = process.platform === 'win32' ? '.exe' : '';
const binary = process.env.AZURE_EMULATOR_BIN ?? join(here, '..', '..', 'target', 'debug', `azure-emulator${exe}`);
if (!existsSync(binary)) {
  console.error(`There is no ${binary}: build it with \`cargo build -p azure-emulator\`, or name it in AZURE_EMULATOR_BIN.`);
  process.exit(2);
}

const folder = mkdtempSync(join(tmpdir(), 'azure-sdk-'));
const idScope = '0ne00000001';
const serviceKey = randomBytes(32).toString('base64');

/** The emulator's ready line as an object, and the process. */
async function startEmulator() {
  const emulator = spawn(
    binary,
    [
      '--https', '127.0.0.1:0', '--tls-dir', join(folder, 'tls'), '--id-scope', idScope, '--service-key', serviceKey,
      '--hub', 'hub-1', '--hub', 'hub-2', '--until-stdin-closes',
    ],
    { stdio: ['pipe', 'pipe', 'inherit'] },
  );
  const lines = createInterface({ input: emulator.stdout });
  const ready = await new Promise((resolve, reject) => {
    const deadline = setTimeout(() => reject(new Error('the emulator was not ready in time')), READY_DEADLINE_MS);
    deadline.unref();
    emulator.once('error', reject);
    emulator.once('exit', (code) => reject(new Error(`the emulator ended with ${code}`)));
    lines.once('line', (line) => resolve(JSON.parse(line.replace(/^ready /, ''))));
  });
  return { emulator, ready };
}

function makeCertificate(certificates, registrationId) {
  const made = spawnSync(binary, ['make-cert', '--dir', certificates, '--registration-id', registrationId], { stdio: 'inherit' });
  if (made.status !== 0) throw new Error(`no certificate for ${registrationId}`);
}

let emulator;
try {
  const certificates = join(folder, 'certificates');
  for (const device of DEVICES) makeCertificate(certificates, device);
  makeCertificate(join(folder, 'foreign'), 'x509-stranger-1');
  let ready;
  ({ emulator, ready } = await startEmulator());
  const tests = readdirSync(join(here, 'test')).filter((name) => name.endsWith('.test.cjs')).map((name) => join(here, 'test', name));
  const runner = spawn(process.execPath, ['--test', '--test-reporter=spec', ...tests], {
    stdio: 'inherit',
    env: {
      ...process.env,
      NODE_OPTIONS: `--require ${JSON.stringify(join(here, 'preload.cjs'))}`,
      NODE_EXTRA_CA_CERTS: ready.ca,
      NO_COLOR: '1',
      AZURE_EMULATOR_PORT: new URL(ready.https).port,
      AZURE_EMULATOR_ID_SCOPE: idScope,
      AZURE_EMULATOR_SERVICE_KEY: serviceKey,
      AZURE_EMULATOR_CERTIFICATES: certificates,
      AZURE_EMULATOR_FOREIGN: join(folder, 'foreign'),
    },
  });
  process.exitCode = await new Promise((resolve) => runner.once('exit', (code) => resolve(code ?? 1)));
} finally {
  emulator?.stdin.end();
  rmSync(folder, { recursive: true, force: true });
}
