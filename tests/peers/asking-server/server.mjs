/**
 * A small MCP server whose tools need every kind of thing that a client can be asked for, for the matrix of eras.
 *
 *   node server.mjs --era dual|stateless|modern        prints `listening http://127.0.0.1:PORT/mcp`
 *
 * Built on the official TypeScript SDK as its documents show it: `dual` keeps sessions for legacy clients, `stateless`
 * serves them without (the SDK's default), `modern` refuses them. Loopback only, no state beyond sessions.
 */

import { once } from 'node:events';
import { createServer as createHttpServer } from 'node:http';
import { parseArgs } from 'node:util';

import { toNodeHandler } from '@modelcontextprotocol/node';
import {
  McpServer,
  classifyInboundRequest,
  createMcpHandler,
  fromJsonSchema,
  inputRequired,
  inputResponse,
} from '@modelcontextprotocol/server';

import { LegacySessions } from '../reference-server/sessions.mjs';

const NOTE = 'matrix://note';
const NOTHING = fromJsonSchema({ type: 'object', properties: {} });
const { values } = parseArgs({ options: { era: { type: 'string', default: 'dual' } } });

const text = value => ({ content: [{ type: 'text', text: value }] });
const pause = ms => new Promise(resolve => setTimeout(resolve, ms));

/** A tool that asks one thing and says what it was told. */
function asking(question, kind, told) {
  return async ctx => {
    const reply = inputResponse(ctx.mcpReq.inputResponses, 'reply');
    return reply.kind === kind ? text(told(reply)) : inputRequired({ inputRequests: { reply: question } });
  };
}

const ask = asking(
  inputRequired.elicit({
    message: 'What is your name?',
    requestedSchema: { type: 'object', properties: { name: { type: 'string' } }, required: ['name'] },
  }),
  'elicit',
  reply => `${reply.action}: ${reply.content?.name}`,
);
const think = asking(
  inputRequired.createMessage({
    messages: [{ role: 'user', content: { type: 'text', text: 'Think of a number.' } }],
    maxTokens: 10,
  }),
  'sampling',
  reply => `thought: ${JSON.stringify(reply.result.content)}`,
);
const where = asking(inputRequired.listRoots(), 'roots', reply => `roots: ${JSON.stringify(reply.roots)}`);

function build() {
  const capabilities = { tools: {}, resources: { subscribe: true } };
  const server = new McpServer({ name: 'asking', version: '1.0.0' }, { capabilities });
  const tool = (name, description, run) => server.registerTool(name, { description, inputSchema: NOTHING }, run);
  const watched = new Set();
  tool('greet', 'Says hello', () => text('Hello.'));
  tool('steps', 'Reports progress', async (_args, ctx) => {
    const progressToken = ctx.mcpReq._meta?.progressToken;
    for (const progress of [1, 2, 3]) {
      if (progressToken === undefined) break;
      await ctx.mcpReq.notify({ method: 'notifications/progress', params: { progressToken, progress, total: 3 } });
      await pause(30);
    }
    return text('Three steps.');
  });
  tool('ask', 'Asks the user', (_args, ctx) => ask(ctx));
  tool('think', 'Asks the model', (_args, ctx) => think(ctx));
  tool('where', 'Asks for the roots', (_args, ctx) => where(ctx));
  tool('touch', 'Changes the note', async () => {
    modern.notify.resourceUpdated(NOTE);
    if (watched.has(NOTE)) await server.server.sendResourceUpdated({ uri: NOTE });
    return text('Touched.');
  });
  server.registerResource('note', NOTE, { mimeType: 'text/plain' }, () => ({ contents: [{ uri: NOTE, text: 'A note.' }] }));
  server.server.setRequestHandler('resources/subscribe', ({ params }) => {
    watched.add(params.uri);
    return {};
  });
  server.server.setRequestHandler('resources/unsubscribe', ({ params }) => {
    watched.delete(params.uri);
    return {};
  });
  return server;
}

const modern = createMcpHandler(build, { legacy: values.era === 'stateless' ? 'stateless' : 'reject' });
const serve = toNodeHandler(modern);
const sessions = new LegacySessions(build);

async function handle(request, response) {
  const chunks = [];
  for await (const chunk of request) chunks.push(chunk);
  const body = request.method === 'POST' ? JSON.parse(Buffer.concat(chunks).toString('utf8')) : undefined;
  const route = classifyInboundRequest({
    httpMethod: request.method,
    protocolVersionHeader: request.headers['mcp-protocol-version'],
    mcpMethodHeader: request.headers['mcp-method'],
    body,
  });
  if (values.era === 'dual' && route.kind === 'legacy') await sessions.handle(request, response, body);
  else await serve(request, response, body);
}

const http = createHttpServer((request, response) => {
  handle(request, response).catch(() => response.destroy());
});
http.listen(0, '127.0.0.1');
await once(http, 'listening');
console.log(`listening http://127.0.0.1:${http.address().port}/mcp`);
