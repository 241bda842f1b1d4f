// Starts oidc-provider over TLS on a port of 127.0.0.1 that the system chooses, and prints `ready {json}`.
//
// Arguments: one JSON object with
//   cert, key   PEM files of the server's certificate for `localhost`
//   audience    of the access tokens (JWT, RS256)
//   clients     client IDs of public native applications, each with a loopback redirect at any port
//   claims      what the access token of an account says beside the usual, by the name that is typed in at sign-in
//   accessTtl, refreshTtl, deviceTtl   seconds
//   interval    seconds between polls of the device flow
//
// Standard input takes a command a line, each answered by a line:
//   rotate                  a new signing key; the old one is gone       → rotated {kid}
//   sign {header, claims}   a token of these claims by today's key       → signed {token}
// and ends the provider when it closes.
import { readFileSync } from 'node:fs';
import { createServer } from 'node:https';
import { createInterface } from 'node:readline';

import { SignJWT, exportJWK, generateKeyPair, importJWK } from 'jose';
import Provider from 'oidc-provider';

const options = JSON.parse(process.argv[2]);
const { cert, key, audience, clients, claims, accessTtl, refreshTtl, deviceTtl, interval } = options;

// Its own warnings (development sign-in page, keys in memory) are what a test wants.
console.warn = () => {};
console.info = () => {};

let issuer;
let signingKey;
let handler;
let keys = 0;

async function makeProvider() {
  const { privateKey } = await generateKeyPair('RS256', { extractable: true });
  keys += 1;
  signingKey = { ...(await exportJWK(privateKey)), kid: `key-${keys}`, alg: 'RS256', use: 'sig' };
  const provider = new Provider(issuer, {
    jwks: { keys: [signingKey] },
    cookies: { keys: ['a test has no secrets to keep'] },
    clients: clients.map((id) => ({
      client_id: id,
      client_name: 'Lowtouch',
      application_type: 'native',
      token_endpoint_auth_method: 'none',
      grant_types: ['authorization_code', 'refresh_token', 'urn:ietf:params:oauth:grant-type:device_code'],
      response_types: ['code'],
      redirect_uris: ['http://127.0.0.1/finished', 'http://[::1]/finished'],
    })),
    features: {
      deviceFlow: { enabled: true },
      revocation: { enabled: true },
      resourceIndicators: {
        enabled: true,
        // Any URI will do; `aud` is as the test wants it.
        defaultResource: () => 'https://api.invalid',
        useGrantedResource: () => true,
        getResourceServerInfo: () => ({
          scope: '', audience, accessTokenTTL: accessTtl, accessTokenFormat: 'jwt', jwt: { sign: { alg: 'RS256' } },
        }),
      },
    },
    pkce: { required: () => true },
    findAccount: (_context, id) => ({ accountId: id, claims: () => ({ sub: id }) }),
    extraTokenClaims: (_context, token) => claims[token.accountId],
    // As Entra ID, Keycloak and Auth0 do: without a consent page each time.
    issueRefreshToken: (_context, client) => client.grantTypeAllowed('refresh_token'),
    expiresWithSession: () => false,
    ttl: { AccessToken: accessTtl, RefreshToken: refreshTtl, DeviceCode: deviceTtl, Grant: 86400, Interaction: 600, Session: 86400 },
  });
  // It names no interval, which means 5 seconds: long in a test.
  provider.use(async (context, next) => {
    await next();
    if (context.oidc?.route === 'device_authorization' && context.status === 200) context.body = { ...context.body, interval };
  });
  handler = provider.callback();
}

const commands = {
  async rotate() {
    await makeProvider();
    return ['rotated', { kid: signingKey.kid }];
  },
  async sign(text) {
    const { header, claims: what } = JSON.parse(text);
    const token = await new SignJWT(what)
      .setProtectedHeader({ alg: 'RS256', typ: 'at+jwt', kid: signingKey.kid, ...header })
      .sign(await importJWK(signingKey, 'RS256'));
    return ['signed', { token }];
  },
};

const server = createServer({ cert: readFileSync(cert), key: readFileSync(key) }, (request, response) => handler(request, response));
server.listen(0, '127.0.0.1', async () => {
  const { port } = server.address();
  issuer = `https://localhost:${port}`;
  await makeProvider();
  console.log(`ready ${JSON.stringify({ issuer, port, kid: signingKey.kid })}`);
  for await (const line of createInterface({ input: process.stdin })) {
    const [command, ...rest] = line.split(' ');
    const [word, answer] = await commands[command](rest.join(' '));
    console.log(`${word} ${JSON.stringify(answer)}`);
  }
  process.exit(0);
});
