/**
 * The reference server on Streamable HTTP: sessions for the legacy era, self-contained requests for the modern one.
 *
 * A request goes to the era that the SDK's own classifier names; an era the server was told not to speak does not
 * exist for it, so a legacy-only server treats a modern request as what an old server would see: a message without a
 * session. Host and Origin have to be loopback names. There is no authorization here.
 */

import { once } from 'node:events';
import { createServer as createHttpServer } from 'node:http';

import { localhostHostValidation, localhostOriginValidation, toNodeHandler } from '@modelcontextprotocol/node';
import { InMemoryServerEventBus, classifyInboundRequest, createMcpHandler } from '@modelcontextprotocol/server';

import { createServer } from './features.mjs';
import { LegacySessions, refuse } from './sessions.mjs';

const PATH = '/mcp';
const MAX_BODY_BYTES = 4 * 1024 * 1024;

/**
 * Listens on loopback and resolves to the endpoint's URL once it does.
 *
 * @param {number} port 0 lets the system choose
 * @param {'dual'|'legacy'|'modern'} era
 */
export async function serveHttp(port, era) {
  const bus = new InMemoryServerEventBus();
  const build = () => createServer(announce);
  const sessions = new LegacySessions(build);
  const modern = createMcpHandler(build, { legacy: 'reject', bus });
  const serveModern = toNodeHandler(modern);

  /** A changed list is news for the clients of both eras. */
  function announce(change) {
    if (change === 'tools') modern.notify.toolsChanged();
    else modern.notify.promptsChanged();
    sessions.announce(change);
  }

  const allowedHost = localhostHostValidation();
  const allowedOrigin = localhostOriginValidation();
  const http = createHttpServer(async (request, response) => {
    try {
      if (!allowedHost(request, response) || !allowedOrigin(request, response)) return;
      if (new URL(request.url, 'http://localhost').pathname !== PATH) return refuse(response, 404, -32600, 'Not found');
      const body = request.method === 'POST' ? await readJson(request) : undefined;
      if (isLegacy(request, body, era)) await sessions.handle(request, response, body);
      else await serveModern(request, response, body);
    } catch (error) {
      if (response.headersSent) response.destroy();
      else if (error instanceof SyntaxError) refuse(response, 400, -32700, 'Parse error');
      else refuse(response, 500, -32603, 'Internal error');
    }
  });
  http.listen(port, '127.0.0.1');
  await once(http, 'listening');
  return `http://127.0.0.1:${http.address().port}${PATH}`;
}

function isLegacy(request, body, era) {
  if (era !== 'dual') return era === 'legacy';
  const route = classifyInboundRequest({
    httpMethod: request.method,
    protocolVersionHeader: request.headers['mcp-protocol-version'],
    mcpMethodHeader: request.headers['mcp-method'],
    body,
  });
  return route.kind === 'legacy';
}

async function readJson(request) {
  const chunks = [];
  let length = 0;
  for await (const chunk of request) {
    length += chunk.length;
    if (length > MAX_BODY_BYTES) throw new SyntaxError('body too large');
    chunks.push(chunk);
  }
  return JSON.parse(Buffer.concat(chunks).toString('utf8'));
}
