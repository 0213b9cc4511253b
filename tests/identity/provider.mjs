/**
 * A real OpenID provider: users `ada` and `bob` in different groups, dynamic registration, resource indicators, JWT access
 * tokens. `node provider.mjs [CALLBACK]` prints `listening URL`. With the callback of a gateway, that gateway is a client of it.
 *
 * Whoever logs in is whom they say they are; this is for tests on loopback.
 */

import { generateKeyPairSync, randomBytes } from 'node:crypto';
import { createServer } from 'node:http';
import { createRequire } from 'node:module';
import { fileURLToPath, pathToFileURL } from 'node:url';

const require = createRequire(fileURLToPath(new URL('../peers/package.json', import.meta.url)));
const { default: Provider } = await import(pathToFileURL(require.resolve('oidc-provider')).href);

const [callback] = process.argv.slice(2);
const GATEWAY = {
  client_id: 'gateway',
  client_secret: 'of-the-gateway-and-nobody-else',
  redirect_uris: [callback],
  grant_types: ['authorization_code'],
  response_types: ['code'],
};
const GROUPS = { ada: ['engineering', 'admins'], bob: ['sales'] };

const server = createServer((request, answer) => handle(request, answer));
let handle;
server.listen(0, '127.0.0.1', () => {
  const issuer = `http://127.0.0.1:${server.address().port}`;
  const { privateKey } = generateKeyPairSync('rsa', { modulusLength: 2048 });
  const provider = new Provider(issuer, {
    jwks: { keys: [{ ...privateKey.export({ format: 'jwk' }), kid: 'k1', alg: 'RS256', use: 'sig' }] },
    cookies: { keys: [randomBytes(16).toString('hex')] },
    clients: callback === undefined ? [] : [GATEWAY],
    scopes: ['openid', 'offline_access', 'mcp'],
    // By the book, what a scope stands for is at the userinfo endpoint, not in the ID token.
    claims: { openid: ['sub'], profile: ['groups'], email: ['email'] },
    pkce: { required: () => true },
    findAccount: (_context, id) => (id in GROUPS ? { accountId: id, claims: () => ({ sub: id, groups: GROUPS[id], email: `${id}@example.com` }) } : undefined),
    extraTokenClaims: (_context, token) => ({ groups: GROUPS[token.accountId] }),
    features: {
      registration: { enabled: true },
      resourceIndicators: {
        enabled: true,
        useGrantedResource: () => true,
        getResourceServerInfo: (_context, resource) => ({
          scope: 'mcp',
          audience: resource,
          accessTokenTTL: 300,
          accessTokenFormat: 'jwt',
          jwt: { sign: { alg: 'RS256' } },
        }),
      },
    },
  });
  handle = provider.callback();
  console.log(`listening ${issuer}`);
});
