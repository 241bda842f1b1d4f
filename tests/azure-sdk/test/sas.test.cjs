'use strict';

const assert = require('node:assert/strict');
const { test } = require('node:test');
const { serviceClient, registerWithKey, derivedKey, pagesOf } = require('./clients.cjs');

test('a device registers with the key derived from a group key that the service made', async () => {
  const service = serviceClient();
  const made = await service.createOrUpdateEnrollmentGroup({
    enrollmentGroupId: 'sas-group',
    attestation: { type: 'symmetricKey' },
    provisioningStatus: 'enabled',
  });
  const { primaryKey, secondaryKey } = made.responseBody.attestation.symmetricKey;
  for (const [registrationId, groupKey] of [['sas-1', primaryKey], ['sas-2', secondaryKey]]) {
    const result = await registerWithKey(registrationId, derivedKey(groupKey, registrationId));
    assert.equal(result.status, 'assigned');
    assert.equal(result.deviceId, registrationId);
    assert.equal(result.substatus, 'initialAssignment');
    assert.match(result.assignedHub, /^hub-[12]\.azure-devices\.net$/);
    const state = await service.getDeviceRegistrationState(registrationId);
    assert.equal(state.responseBody.assignedHub, result.assignedHub);
  }
  const query = service.createEnrollmentGroupDeviceRegistrationStateQuery({ query: '*' }, 'sas-group', 10);
  assert.deepEqual((await pagesOf(query)).flat().map((state) => state.registrationId), ['sas-1', 'sas-2']);
});

test('a device registers with its own key, and again, and stays at its hub', async () => {
  const key = Buffer.alloc(64, 7).toString('base64');
  await serviceClient().createOrUpdateIndividualEnrollment({
    registrationId: 'sas-individual',
    deviceId: 'pump-1',
    attestation: { type: 'symmetricKey', symmetricKey: { primaryKey: key, secondaryKey: Buffer.alloc(64, 8).toString('base64') } },
    allocationPolicy: 'geoLatency',
  });
  for (let time = 0; time < 2; time++) {
    const result = await registerWithKey('sas-individual', key);
    assert.deepEqual([result.status, result.deviceId, result.assignedHub], ['assigned', 'pump-1', 'hub-1.azure-devices.net']);
  }
});

test('a wrong key is refused, and so is a device that nobody enrolled', async () => {
  for (const registrationId of ['sas-individual', 'sas-nobody']) {
    await assert.rejects(registerWithKey(registrationId, Buffer.alloc(64, 1).toString('base64')), { name: 'UnauthorizedError' });
  }
});
