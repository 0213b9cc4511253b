/**
 * The large identity providers as a fake of recorded behaviour: each deviates from OpenID Connect as its namesake does, and refuses
 * what its namesake refuses. `node quirks.mjs entra|okta|google|cognito CERT KEY CALLBACK` prints `listening ISSUER`, and `refused WHY`
 * for each request that it does not take.
 *
 * None of them can do what MCP clients need by themselves: resource indicators, registration by anybody, tokens for somebody else's
 * API. A gateway with this CALLBACK is their one client. Whoever logs in is whom they say they are, `ada` or `eve`.
 */

import { createHash, generateKeyPairSync, randomBytes, sign } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { createServer } from 'node:https';

const [profile, cert, key, callback] = process.argv.slice(2);
const CLIENT = { id: 'gateway', secret: 'of-the-gateway-and-nobody-else' };
const TENANT = '9188040d-6c67-4c5b-b112-36a304b66dad';
const OPENID = ['openid', 'profile', 'email'];

/**
 * Of each: where things are, what its metadata says beside that, which scopes it knows, what it says of a request to authorize that it
 * does not take, and what its tokens hold.
 */
const PROFILES = {
  // No RFC 8414 document, no registration, PKCE taken but not told of, no `iss` in answers. A resource is refused, and so are scopes of
  // nobody's application. `sub` is another for each application; groups are object ids. Access tokens are Microsoft Graph's.
  entra: {
    issuer: `/${TENANT}/v2.0`,
    paths: { authorization: `/${TENANT}/oauth2/v2.0/authorize`, token: `/${TENANT}/oauth2/v2.0/token`, jwks: `/${TENANT}/discovery/v2.0/keys` },
    metadata: {
      token_endpoint_auth_methods_supported: ['client_secret_post', 'private_key_jwt', 'client_secret_basic'],
      subject_types_supported: ['pairwise'],
      tenant_region_scope: 'EU',
    },
    scopes: [...OPENID, 'offline_access'],
    unknownScope: 'AADSTS650053: the application asked for a scope that does not exist on the resource',
    resource: 'AADSTS901002: the `resource` request parameter is not supported',
    idToken: (login) => ({
      sub: `pairwise-${login}`,
      oid: `00000000-0000-0000-0000-0000000000${login === 'ada' ? '0a' : '0e'}`,
      tid: TENANT,
      ver: '2.0',
      groups: ['5e1f1a9e-0000-4000-8000-000000000001'],
      rh: '0.A',
      uti: 'u',
    }),
    accessToken: (login) => jwt({ nonce: 'n' }, { aud: '00000003-0000-0000-c000-000000000000', sub: `graph-${login}`, scp: 'openid profile email' }),
  },
  // A custom authorization server: there is registration, for whoever has a token of the management API. The ID token is thin; groups are
  // at the userinfo endpoint, for those who ask for the scope.
  okta: {
    issuer: '/oauth2/default',
    paths: { authorization: '/oauth2/default/v1/authorize', token: '/oauth2/default/v1/token', jwks: '/oauth2/default/v1/keys', userinfo: '/oauth2/default/v1/userinfo' },
    metadata: {
      registration_endpoint: '/oauth2/v1/clients',
      code_challenge_methods_supported: ['S256'],
      token_endpoint_auth_methods_supported: ['client_secret_basic', 'client_secret_post', 'private_key_jwt', 'none'],
    },
    scopes: [...OPENID, 'groups', 'offline_access'],
    unknownScope: 'one or more scopes are not configured for the authorization server resource',
    registration: [401, { errorCode: 'E0000005', errorSummary: 'Invalid session' }],
    namesItself: true,
    idToken: (login) => ({ sub: `00u-${login}`, ver: 1, amr: ['pwd'], idp: '00o1' }),
    userinfo: (login, scopes) => ({ sub: `00u-${login}`, ...(scopes.includes('groups') && { groups: ['Everyone', 'staff'] }) }),
    accessToken: (login) => jwt({}, { aud: 'api://default', uid: `00u-${login}`, sub: `${login}@example.com`, scp: OPENID }),
  },
  // Access tokens that nobody else can read, an issuer without its scheme, no groups anywhere, no registration, everybody in the world.
  google: {
    issuer: '',
    paths: { authorization: '/o/oauth2/v2/auth', token: '/token', jwks: '/oauth2/v3/certs', userinfo: '/v1/userinfo' },
    metadata: {
      code_challenge_methods_supported: ['plain', 'S256'],
      token_endpoint_auth_methods_supported: ['client_secret_post', 'client_secret_basic'],
      revocation_endpoint: '/revoke',
    },
    scopes: OPENID,
    unknownScope: 'invalid_scope: some requested scopes were invalid',
    resource: 'invalid_request: parameter not allowed for this message type: resource',
    tokenIssuer: (issuer) => issuer.slice('https://'.length),
    idToken: (login) => ({
      sub: `1101694844742-${login}`,
      azp: CLIENT.id,
      hd: login === 'eve' ? 'elsewhere.example' : 'example.com',
      email: `${login}@example.com`,
      email_verified: true,
      at_hash: 'x',
    }),
    userinfo: (login) => ({ sub: `1101694844742-${login}`, picture: 'https://example.com/p' }),
    accessToken: () => `ya29.${randomBytes(32).toString('base64url')}`,
  },
  // No RFC 8414 document, no PKCE in the metadata, groups under a name of its own. Access tokens have no `aud` but a `client_id`, are
  // signed by the same keys, and only `token_use` tells them from ID tokens.
  cognito: {
    issuer: '/eu-central-1_abc',
    paths: { authorization: '/oauth2/authorize', token: '/oauth2/token', jwks: '/eu-central-1_abc/.well-known/jwks.json', userinfo: '/oauth2/userInfo' },
    metadata: { token_endpoint_auth_methods_supported: ['client_secret_basic', 'client_secret_post'] },
    scopes: OPENID,
    unknownScope: 'invalid_scope',
    idToken: (login) => ({ sub: `c-${login}`, token_use: 'id', 'cognito:groups': ['staff'], 'cognito:username': login, event_id: 'e' }),
    userinfo: (login) => ({ sub: `c-${login}`, username: login }),
    accessToken: (login) => jwt({}, { sub: `c-${login}`, token_use: 'access', client_id: CLIENT.id, scope: OPENID.join(' ') }),
  },
};

const quirks = PROFILES[profile];
const { privateKey, publicKey } = generateKeyPairSync('rsa', { modulusLength: 2048 });
const codes = new Map();
const tokens = new Map();
let issuer;

const server = createServer({ cert: readFileSync(cert), key: readFileSync(key) }, (request, answer) => {
  const url = new URL(request.url, issuer);
  read(request).then((body) => {
    const [status, content, more] = route(request, url, new URLSearchParams(body));
    const isPage = typeof content === 'string';
    answer.writeHead(status, { 'content-type': isPage ? 'text/html' : 'application/json', 'cache-control': 'no-store', ...more });
    answer.end(isPage ? content : JSON.stringify(content));
  });
});
server.listen(0, '127.0.0.1', () => {
  issuer = `https://localhost:${server.address().port}${quirks.issuer}`;
  console.log(`listening ${issuer}`);
});

function route(request, url, form) {
  const at = (name) => quirks.paths[name] !== undefined && url.pathname === quirks.paths[name];
  if (url.pathname === `${quirks.issuer}/.well-known/openid-configuration`) return [200, metadata()];
  if (at('jwks')) return [200, { keys: [{ ...publicKey.export({ format: 'jwk' }), kid: 'k1', alg: 'RS256', use: 'sig' }] }];
  if (at('authorization') && request.method === 'GET') return authorize(url.searchParams);
  if (at('authorization')) return agree(form);
  if (at('token')) return redeem(request, form);
  if (at('userinfo')) return userinfo(request);
  if (quirks.registration && url.pathname === quirks.metadata.registration_endpoint) return refuse(...quirks.registration);
  return refuse(404, { error: `nothing at ${url.pathname}` });
}

function metadata() {
  const absolute = (path) => new URL(path, issuer).href;
  const own = Object.entries(quirks.metadata).map(([name, value]) => [name, String(value).startsWith('/') ? absolute(value) : value]);
  return {
    issuer,
    authorization_endpoint: absolute(quirks.paths.authorization),
    token_endpoint: absolute(quirks.paths.token),
    jwks_uri: absolute(quirks.paths.jwks),
    ...(quirks.paths.userinfo && { userinfo_endpoint: absolute(quirks.paths.userinfo) }),
    response_types_supported: ['code', 'id_token'],
    subject_types_supported: ['public'],
    id_token_signing_alg_values_supported: ['RS256'],
    scopes_supported: quirks.scopes,
    ...(quirks.namesItself && { authorization_response_iss_parameter_supported: true }),
    ...Object.fromEntries(own),
  };
}

function authorize(asked) {
  if (asked.get('client_id') !== CLIENT.id) return refuse(400, 'no such client');
  if (asked.get('redirect_uri') !== callback) return refuse(400, 'no such redirect URI');
  if (asked.has('resource') && quirks.resource) return refuse(400, quirks.resource);
  const scopes = (asked.get('scope') ?? '').split(' ');
  if (!scopes.includes('openid') || scopes.some((scope) => !quirks.scopes.includes(scope))) return refuse(400, quirks.unknownScope);
  const hidden = [...asked].map(([name, value]) => `<input type="hidden" name="${name}" value="${value}">`).join('');
  const fields = `${hidden}<input name="login"><input name="password">`;
  return [200, `<title>Sign in to ${profile}</title><form method="post" action="${quirks.paths.authorization}">${fields}</form>`];
}

function agree(asked) {
  const code = randomBytes(16).toString('hex');
  codes.set(code, asked);
  const back = new URL(callback);
  back.searchParams.set('code', code);
  back.searchParams.set('state', asked.get('state'));
  if (quirks.namesItself) back.searchParams.set('iss', issuer);
  return [302, '', { location: back.href }];
}

function redeem(request, form) {
  const [id, secret] = Buffer.from((request.headers.authorization ?? '').replace('Basic ', ''), 'base64').toString().split(':');
  const shown = { id: form.get('client_id') ?? id, secret: form.get('client_secret') ?? secret };
  if (shown.id !== CLIENT.id || shown.secret !== CLIENT.secret) return refuse(401, { error: 'invalid_client' });
  const asked = codes.get(form.get('code'));
  codes.delete(form.get('code'));
  const challenge = createHash('sha256').update(form.get('code_verifier') ?? '').digest('base64url');
  if (form.get('grant_type') !== 'authorization_code' || challenge !== asked?.get('code_challenge')) return refuse(400, { error: 'invalid_grant' });
  if (form.has('resource') && quirks.resource) return refuse(400, { error: 'invalid_request', error_description: quirks.resource });
  const login = asked.get('login');
  const access = quirks.accessToken(login);
  tokens.set(access, { login, scopes: asked.get('scope').split(' ') });
  const claims = { aud: CLIENT.id, nonce: asked.get('nonce'), ...quirks.idToken(login) };
  return [200, { access_token: access, id_token: jwt({}, claims), token_type: 'Bearer', expires_in: 3599, scope: asked.get('scope') }];
}

function userinfo(request) {
  const found = tokens.get((request.headers.authorization ?? '').replace('Bearer ', ''));
  return found ? [200, quirks.userinfo(found.login, found.scopes)] : refuse(401, { error: 'invalid_token' });
}

function jwt(header, claims) {
  const now = Math.floor(Date.now() / 1000);
  const iss = quirks.tokenIssuer?.(issuer) ?? issuer;
  const parts = [{ alg: 'RS256', kid: 'k1', typ: 'JWT', ...header }, { iss, iat: now, exp: now + 3600, ...claims }];
  const text = parts.map((part) => Buffer.from(JSON.stringify(part)).toString('base64url')).join('.');
  return `${text}.${sign('sha256', Buffer.from(text), privateKey).toString('base64url')}`;
}

function refuse(status, content) {
  console.log(`refused ${JSON.stringify(content)}`);
  return [status, content];
}

async function read(request) {
  let body = '';
  for await (const piece of request) body += piece;
  return body;
}
