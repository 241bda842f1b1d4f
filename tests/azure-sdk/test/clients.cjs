// Microsoft's clients, pointed at the emulator that run.mjs started.
'use strict';

const { createHmac } = require('node:crypto');
const { readFileSync } = require('node:fs');
const { join } = require('node:path');
const { ProvisioningDeviceClient } = require('azure-iot-provisioning-device');
const { Http } = require('azure-iot-provisioning-device-http');
const { ProvisioningServiceClient } = require('azure-iot-provisioning-service');
const { SymmetricKeySecurityClient } = require('azure-iot-security-symmetric-key');
const { X509Security } = require('azure-iot-security-x509');

const HOST = 'localhost';
const idScope = process.env.AZURE_EMULATOR_ID_SCOPE;

function serviceClient(key = process.env.AZURE_EMULATOR_SERVICE_KEY) {
  return ProvisioningServiceClient.fromConnectionString(
    `HostName=${HOST};SharedAccessKeyName=provisioningserviceowner;SharedAccessKey=${key}`,
  );
}

/** Registers with a symmetric key in base64; the promise is the registration result. */
function registerWithKey(registrationId, key) {
  return ProvisioningDeviceClient.create(HOST, idScope, new Http(), new SymmetricKeySecurityClient(registrationId, key)).register();
}

/** Registers with a certificate and key in PEM. */
function registerWithCertificate(registrationId, { cert, key }) {
  return ProvisioningDeviceClient.create(HOST, idScope, new Http(), new X509Security(registrationId, { cert, key })).register();
}

/** Registers with a TPM's security client. */
function registerWithTpm(client) {
  return ProvisioningDeviceClient.create(HOST, idScope, new Http(), client).register();
}

/** The certificate that run.mjs made for this device; `folder` tells which CA's. */
function certificateOf(registrationId, folder = process.env.AZURE_EMULATOR_CERTIFICATES) {
  const read = (name) => readFileSync(join(folder, name), 'utf8');
  return { cert: read(`${registrationId}.pem`), key: read(`${registrationId}.key`), signing: read('signing-ca.pem') };
}

/** A device's own key under a group's. */
function derivedKey(groupKey, registrationId) {
  return createHmac('sha256', Buffer.from(groupKey, 'base64')).update(registrationId).digest('base64');
}

/** All pages of one of the service client's queries: an array of pages. */
async function pagesOf(query) {
  const pages = [];
  // Without an argument `next()` starts from the first page again.
  do pages.push((await query.next(query.continuationToken)).responseBody ?? []);
  while (query.hasMoreResults);
  return pages;
}

/** A bulk operation. In 1.11 the SDK's own promise of it never settles, so this uses its callback. */
function bulk(service, operation) {
  return new Promise((resolve, reject) => {
    service.runBulkEnrollmentOperation(operation, (error, result) => (error ? reject(error) : resolve(result)));
  });
}

module.exports = { bulk, serviceClient, registerWithKey, registerWithCertificate, registerWithTpm, certificateOf, derivedKey, pagesOf };
