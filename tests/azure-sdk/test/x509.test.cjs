'use strict';

const assert = require('node:assert/strict');
const { test } = require('node:test');
const { serviceClient, registerWithCertificate, certificateOf } = require('./clients.cjs');

test('a device registers with a certificate under the signing certificate of a group', async () => {
  const device = certificateOf('x509-group-1');
  await serviceClient().createOrUpdateEnrollmentGroup({
    enrollmentGroupId: 'x509-group',
    attestation: { type: 'x509', x509: { signingCertificates: { primary: { certificate: device.signing } } } },
  });
  const result = await registerWithCertificate('x509-group-1', device);
  assert.deepEqual([result.status, result.deviceId], ['assigned', 'x509-group-1']);

  // Same name, other CA; and a good certificate under another device's name.
  const foreign = certificateOf('x509-stranger-1', process.env.AZURE_EMULATOR_FOREIGN);
  await assert.rejects(registerWithCertificate('x509-stranger-1', foreign), { name: 'UnauthorizedError' });
  await assert.rejects(registerWithCertificate('x509-stranger-2', device), { name: 'UnauthorizedError' });
});

test('a device registers with the very certificate of its individual enrollment', async () => {
  const device = certificateOf('x509-individual-1');
  await serviceClient().createOrUpdateIndividualEnrollment({
    registrationId: 'x509-individual-1',
    deviceId: 'valve-9',
    attestation: { type: 'x509', x509: { clientCertificates: { primary: { certificate: device.cert } } } },
  });
  const result = await registerWithCertificate('x509-individual-1', device);
  assert.deepEqual([result.status, result.deviceId], ['assigned', 'valve-9']);
});
