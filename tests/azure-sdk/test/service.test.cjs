'use strict';

const assert = require('node:assert/strict');
const { test } = require('node:test');
const { bulk, serviceClient, pagesOf } = require('./clients.cjs');

const attestation = { type: 'symmetricKey' };

test('an enrollment is made, read, changed under its ETag and deleted', async () => {
  const service = serviceClient();
  const made = (await service.createOrUpdateIndividualEnrollment({ registrationId: 'crud', attestation })).responseBody;
  const changed = (await service.createOrUpdateIndividualEnrollment({ ...made, provisioningStatus: 'disabled' })).responseBody;
  assert.notEqual(changed.etag, made.etag);
  assert.equal((await service.getIndividualEnrollment('crud')).responseBody.provisioningStatus, 'disabled');
  const mechanism = (await service.getIndividualEnrollmentAttestationMechanism('crud')).responseBody;
  assert.deepEqual(mechanism.symmetricKey, made.attestation.symmetricKey);
  await assert.rejects(service.createOrUpdateIndividualEnrollment(made), (error) => error.response.statusCode === 412);
  await assert.rejects(service.createOrUpdateIndividualEnrollment({ registrationId: 'crud', attestation }), (error) => error.response.statusCode === 409);
  await service.deleteIndividualEnrollment(changed);
  await assert.rejects(service.getIndividualEnrollment('crud'), (error) => error.response.statusCode === 404);
});

test('a bulk operation makes and deletes, and a query pages over what is there', async () => {
  const service = serviceClient();
  const enrollments = Array.from({ length: 5 }, (_, n) => ({ registrationId: `bulk-${n}`, attestation }));
  const made = await bulk(service, { mode: 'create', enrollments });
  assert.deepEqual(made, { isSuccessful: true, errors: [] });
  const pages = await pagesOf(service.createIndividualEnrollmentQuery({ query: 'SELECT * FROM enrollments' }, 2));
  assert.ok(pages.length >= 3 && pages.every((page) => page.length <= 2));
  const ids = pages.flat().map((one) => one.registrationId).filter((id) => id.startsWith('bulk-'));
  assert.deepEqual(ids, enrollments.map((one) => one.registrationId));
  assert.equal((await bulk(service, { mode: 'delete', enrollments })).isSuccessful, true);
});

test('a wrong service key is refused', async () => {
  const stranger = serviceClient(Buffer.alloc(32).toString('base64'));
  await assert.rejects(stranger.getIndividualEnrollment('crud'), (error) => error.response.statusCode === 401);
});
