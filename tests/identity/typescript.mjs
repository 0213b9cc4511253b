/**
 * The TypeScript SDK finds out from a 401 where to log in, registers, logs in and calls. `node typescript.mjs URL LOGIN [auto]`
 *
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
    grant_types: ['authorization_code'],
    response_types: ['code'],
    token_endpoint_auth_method: 'none',
    application_type: 'native',
  },
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
const back = execFileSync(process.execPath, [BROWSER, kept.where.href, REDIRECT, login], { encoding: 'utf8' }).trim();
await first.finishAuth(new URL(back).searchParams);

const connected = client();
await connected.connect(transport());
const { tools } = await connected.listTools();
const result = await connected.callTool({ name: 'everything__echo', arguments: { message: login } });
console.log(
  JSON.stringify({
    era: connected.getNegotiatedProtocolVersion(),
    tools: tools.length,
    said: result.content[0].text,
    token: kept.tokens.access_token,
  }),
);
await connected.close();
