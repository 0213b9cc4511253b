/**
 * A real OpenID provider: users `ada` and `bob` in different groups, dynamic registration, resource indicators, JWT access
 * tokens. `node provider.mjs [CALLBACK]` prints `listening URL`. With the callback of a gateway, that gateway is a client of it,
 * and `POST /end/USER` tells it that a user has logged out.
 *
 * Whoever logs in is whom they say they are; this is for tests on loopback.
 */

import { createPublicKey, generateKeyPairSync, randomBytes } from 'node:crypto';
import { createServer } from 'node:http';
import { createRequire } from 'node:module';
import { fileURLToPath, pathToFileURL } from 'node:url';

const require = createRequire(fileURLToPath(new URL('../peers/package.json', import.meta.url)));
const { jwtVerify } = await import(pathToFileURL(createRequire(require.resolve('oidc-provider')).resolve('jose')).href);
const { default: Provider } = await import(pathToFileURL(require.resolve('oidc-provider')).href);

const [callback] = process.argv.slice(2);
const GATEWAY = {
  client_id: 'gateway',
  client_secret: 'of-the-gateway-and-nobody-else',
  redirect_uris: [callback],
  grant_types: ['authorization_code'],
  response_types: ['code'],
  backchannel_logout_uri: callback?.replace(/callback$/, 'backchannel-logout'),
};
const EXCHANGE = 'urn:ietf:params:oauth:grant-type:token-exchange';
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
    scopes: ['openid', 'offline_access', 'mcp', 'mcp:write'],
    // By the book, what a scope stands for is at the userinfo endpoint, not in the ID token.
    claims: { openid: ['sub'], profile: ['groups'], email: ['email'] },
    pkce: { required: () => true },
    // A client registers with the scope of the first challenge that it meets; here it may ask for more later.
    extraClientMetadata: {
      properties: ['registered_scope'],
      validator: (_context, _key, _value, metadata) => {
        delete metadata.scope;
      },
    },
    // The gateway is on loopback, where the provider would tell nobody anything.
    fetch: (url, { dispatcher, ...options }) => fetch(url, options),
    findAccount: (_context, id) => (id in GROUPS ? { accountId: id, claims: () => ({ sub: id, groups: GROUPS[id], email: `${id}@example.com` }) } : undefined),
    extraTokenClaims: ({ oidc }, token) => ({
      groups: GROUPS[token.accountId],
      ...(oidc.params.grant_type === EXCHANGE && oidc.params.actor_token && { act: { sub: oidc.client.clientId } }),
    }),
    features: {
      clientCredentials: { enabled: true },
      registration: { enabled: true },
      backchannelLogout: { enabled: true },
      resourceIndicators: {
        enabled: true,
        useGrantedResource: () => true,
        getResourceServerInfo: (_context, resource) => ({
          scope: 'mcp mcp:write',
          audience: resource,
          accessTokenTTL: 300,
          accessTokenFormat: 'jwt',
          jwt: { sign: { alg: 'RS256' } },
        }),
      },
    },
  });
  provider.registerGrantType(EXCHANGE, exchange(provider, createPublicKey(privateKey), issuer), [
    'subject_token',
    'subject_token_type',
    'requested_token_type',
    'actor_token',
    'actor_token_type',
    'resource',
    'scope',
  ]);
  const answer = provider.callback();
  handle = (request, response) => (request.url.startsWith('/end/') ? end(provider, request, response) : answer(request, response));
  console.log(`listening ${issuer}`);
});

/** Tells the gateway that a user has logged out, as the end of a session here does (OpenID Connect Back-Channel Logout). */
async function end(provider, request, response) {
  const client = await provider.Client.find(GATEWAY.client_id);
  const failed = await client.backchannelLogout(request.url.slice('/end/'.length)).catch((error) => error);
  response.writeHead(failed ? 502 : 204).end(failed?.message);
}

/** Token exchange (RFC 8693): a token of the provider's own for one of the same user, for another resource. */
function exchange(provider, key, issuer) {
  return async (context) => {
    const { client, params } = context.oidc;
    const { payload } = await jwtVerify(params.subject_token, key, { issuer, typ: 'at+jwt' });
    if (params.actor_token && !(await provider.ClientCredentials.find(params.actor_token))) {
      throw new Error('a foreign actor');
    }
    const token = new provider.AccessToken({ accountId: payload.sub, client, scope: 'mcp', gty: EXCHANGE });
    token.resourceServer = new provider.ResourceServer(params.resource, {
      scope: 'mcp',
      audience: params.resource,
      accessTokenFormat: 'jwt',
      accessTokenTTL: 300,
      jwt: { sign: { alg: 'RS256' } },
    });
    context.body = {
      access_token: await token.save(),
      issued_token_type: 'urn:ietf:params:oauth:token-type:access_token',
      token_type: 'Bearer',
      expires_in: token.expiration,
    };
  };
}
