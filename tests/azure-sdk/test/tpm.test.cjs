// Microsoft's TPM client, with a real TPM in software (swtpm), against what the emulator takes for Azure's challenge.
'use strict';

const assert = require('node:assert/strict');
const { spawn, spawnSync } = require('node:child_process');
const { existsSync, mkdtempSync, rmSync } = require('node:fs');
const { connect } = require('node:net');
const { tmpdir } = require('node:os');
const { join } = require('node:path');
const { after, test } = require('node:test');
const { TpmSecurityClient } = require('azure-iot-security-tpm');
const { Tpm } = require('tss.js');
const { registerWithTpm, serviceClient } = require('./clients.cjs');

const SOCKET_DEADLINE_MS = 20_000;
const hasSwtpm = spawnSync('swtpm', ['--version']).status === 0;
const ending = [];
after(() => ending.forEach((end) => end()));

/** tss.js' device over swtpm's socket: plain commands, one at a time. */
class SocketDevice {
  constructor(path) {
    this.path = path;
  }

  connect(continuation) {
    this.socket = connect(this.path, () => continuation(null));
  }

  dispatchCommand(command, continuation) {
    let answer = Buffer.alloc(0);
    const onData = (data) => {
      answer = Buffer.concat([answer, data]);
      if (answer.length < 6 || answer.length < answer.readUInt32BE(2)) return;
      this.socket.off('data', onData);
      continuation(null, answer);
    };
    this.socket.on('data', onData);
    this.socket.write(command);
  }

  close() {
    this.socket.destroy();
  }
}

/** A new TPM's security client. */
async function startTpm(registrationId) {
  const folder = mkdtempSync(join(tmpdir(), 'tpm-'));
  const socket = join(folder, 'tpm');
  const swtpm = spawn(
    'swtpm',
    ['socket', '--tpm2', '--flags', 'not-need-init,startup-clear', '--tpmstate', `dir=${folder}`, '--server', `type=unixio,path=${socket}`],
    { stdio: 'ignore' },
  );
  const tpm = new Tpm(false);
  tpm.device = new SocketDevice(socket);
  ending.push(() => {
    if (tpm.device.socket) tpm.device.close();
    swtpm.kill();
    rmSync(folder, { recursive: true, force: true });
  });
  for (const deadline = Date.now() + SOCKET_DEADLINE_MS; !existsSync(socket); ) {
    assert.ok(Date.now() < deadline, 'swtpm opens no socket');
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
  return new TpmSecurityClient(registrationId, tpm);
}

const endorsementKey = (client) =>
  new Promise((resolve, reject) => client.getEndorsementKey((error, key) => (error ? reject(error) : resolve(key.toString('base64')))));

const enroll = (registrationId, key) =>
  serviceClient().createOrUpdateIndividualEnrollment({ registrationId, attestation: { type: 'tpm', tpm: { endorsementKey: key } } });

test('a device registers by its TPM and takes in the key for its hub', { skip: !hasSwtpm && 'swtpm is not installed' }, async () => {
  const client = await startTpm('tpm-1');
  await enroll('tpm-1', await endorsementKey(client));
  const result = await registerWithTpm(client);
  // Its TPM flow gives the whole answer of the operation, the others the state in it.
  assert.deepEqual([result.status, result.registrationState.deviceId], ['assigned', 'tpm-1']);
  const signed = await new Promise((resolve, reject) =>
    client.signWithIdentity(Buffer.from('hub'), (error, signature) => (error ? reject(error) : resolve(signature))),
  );
  assert.equal(signed.length, 32);
});

test('another TPM under the same name is refused', { skip: !hasSwtpm && 'swtpm is not installed' }, async () => {
  const [enrolled, other] = [await startTpm('tpm-2'), await startTpm('tpm-2')];
  await enroll('tpm-2', await endorsementKey(enrolled));
  await assert.rejects(registerWithTpm(other));
});
