/**
 * An MCP server of 2026-07-28 that takes tokens of one issuer for itself, and tells whose they are.
 * `node protected.mjs ISSUER` prints `listening URL`.
 */

import { createServer } from 'node:http';
import { createRequire } from 'node:module';
import { fileURLToPath, pathToFileURL } from 'node:url';

const require = createRequire(fileURLToPath(new URL('../peers/package.json', import.meta.url)));
const provider = createRequire(require.resolve('oidc-provider'));
const { createRemoteJWKSet, jwtVerify } = await import(pathToFileURL(provider.resolve('jose')).href);

const [issuer] = process.argv.slice(2);
const keys = createRemoteJWKSet(new URL(`${issuer}/jwks`));

const server = createServer(async (request, answer) => {
  const url = `http://127.0.0.1:${server.address().port}`;
  const send = (status, body, headers = {}) => {
    answer.writeHead(status, { 'content-type': 'application/json', ...headers });
    answer.end(JSON.stringify(body));
  };
  const document = '/.well-known/oauth-protected-resource/mcp';
  if (request.url === document) {
    return send(200, { resource: `${url}/mcp`, authorization_servers: [issuer], scopes_supported: ['mcp'] });
  }
  if (request.method !== 'POST') return send(405, {});
  let text = '';
  for await (const chunk of request) text += chunk;
  const token = /^Bearer (.+)$/.exec(request.headers.authorization ?? '')?.[1];
  let claims;
  try {
    ({ payload: claims } = await jwtVerify(token ?? '', keys, { issuer, audience: `${url}/mcp`, typ: 'at+jwt' }));
  } catch {
    return send(401, {}, { 'www-authenticate': `Bearer resource_metadata="${url}${document}", scope="mcp"` });
  }
  const { id, method } = JSON.parse(text);
  const result = RESULTS[method]?.(claims);
  if (result === undefined) return send(404, { jsonrpc: '2.0', id, error: { code: -32601, message: 'no such method' } });
  send(200, { jsonrpc: '2.0', id, result: { resultType: 'complete', ...result } });
});

const KEPT = { ttlMs: 0, cacheScope: 'private' };
const RESULTS = {
  'server/discover': () => ({ supportedVersions: ['2026-07-28'], capabilities: { tools: {} }, ...KEPT }),
  'tools/list': () => ({ tools: [{ name: 'whoami', inputSchema: { type: 'object' } }], ...KEPT }),
  'tools/call': ({ sub, act, aud }) => ({ content: [{ type: 'text', text: JSON.stringify({ sub, act, aud }) }] }),
};

server.listen(0, '127.0.0.1', () => console.log(`listening http://127.0.0.1:${server.address().port}/mcp`));
