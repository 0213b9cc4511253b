/**
 * The TypeScript SDK finds out from a 401 where to log in, registers, logs in and calls. `node typescript.mjs URL LOGIN [auto]`
 *
 * With CLIENT_DOCUMENT, it has its metadata at that URL instead of registering. With REFRESH, its token goes bad after the
 * first call. With STEP_UP, it calls a tool of that name as well, and logs in again when it is told that its token is not for that.
 * Prints one line of JSON: the era, what the tool said, and the token, for the test to misuse.
 */

import { execFileSync } from 'node:child_process';
import { createRequire } from 'node:module';
import { fileURLToPath } from 'node:url';

const require = createRequire(fileURLToPath(new URL('../peers/package.json', import.meta.url)));
const { Client, StreamableHTTPClientTransport, UnauthorizedError } = require('@modelcontextprotocol/client');

const [url, login, mode] = process.argv.slice(2);
const REDIRECT = 'http://127.0.0.1:33418/callback';
const BROWSER = fileURLToPath(new URL('browser.mjs', import.meta.url));

const kept = {};
const provider = {
  redirectUrl: REDIRECT,
  clientMetadata: {
    client_name: 'portcullis test',
    redirect_uris: [REDIRECT],
    grant_types: process.env.REFRESH === undefined ? ['authorization_code'] : ['authorization_code', 'refresh_token'],
    response_types: ['code'],
    token_endpoint_auth_method: 'none',
    application_type: 'native',
  },
  clientMetadataUrl: process.env.CLIENT_DOCUMENT,
  clientInformation: () => kept.client,
  saveClientInformation: (client) => (kept.client = client),
  tokens: () => kept.tokens,
  saveTokens: (tokens) => (kept.tokens = tokens),
  redirectToAuthorization: (where) => (kept.where = where),
  saveCodeVerifier: (verifier) => (kept.verifier = verifier),
  codeVerifier: () => kept.verifier,
};

const client = () =>
  new Client({ name: 'test', version: '1.0.0' }, mode === undefined ? {} : { versionNegotiation: { mode } });
const transport = () => new StreamableHTTPClientTransport(new URL(url), { authProvider: provider });

const first = transport();
try {
  await client().connect(first);
  throw new Error('connected without a login');
} catch (error) {
  if (!(error instanceof UnauthorizedError)) throw error;
}
const logIn = () =>
  execFileSync(process.execPath, [BROWSER, kept.where.href, REDIRECT, login], { encoding: 'utf8' }).trim();
await first.finishAuth(new URL(logIn()).searchParams);

const connected = client();
const second = transport();
await connected.connect(second);
const { tools } = await connected.listTools();
const result = await connected.callTool({ name: 'everything__echo', arguments: { message: login } });
const first_token = kept.tokens.access_token;
let refreshed;
if (process.env.REFRESH !== undefined) {
  kept.tokens = { ...kept.tokens, access_token: `${first_token.slice(0, -8)}AAAAAAAA` };
  const again = await connected.callTool({ name: 'everything__echo', arguments: { message: 'again' } });
  refreshed = again.content[0].text === 'Echo: again' && kept.tokens.access_token !== first_token;
}
let stepped;
if (process.env.STEP_UP !== undefined) {
  const sum = () => connected.callTool({ name: process.env.STEP_UP, arguments: { a: 2, b: 3 } });
  try {
    stepped = `without a login: ${(await sum()).content[0].text}`;
  } catch (error) {
    if (!(error instanceof UnauthorizedError)) throw error;
    await second.finishAuth(new URL(logIn()).searchParams);
    stepped = (await sum()).content[0].text;
  }
}
console.log(
  JSON.stringify({
    era: connected.getNegotiatedProtocolVersion(),
    tools: tools.length,
    client: kept.client?.client_id,
    refreshed,
    stepped,
    said: result.content[0].text,
    token: kept.tokens.access_token,
  }),
);
await connected.close();
