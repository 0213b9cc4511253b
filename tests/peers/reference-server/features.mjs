/**
 * What the reference server offers: one server object with every tool, prompt and resource the suite names.
 *
 * Tools that need something from the client are written once, as multi-round-trip handlers (`dialogue.mjs`); the SDK
 * turns their questions into real server requests towards legacy clients.
 */

import { McpServer, fromJsonSchema } from '@modelcontextprotocol/server';

import { contentTools } from './content.mjs';
import { dialoguePrompts, dialogueTools, requestState } from './dialogue.mjs';
import { prompts, registerResources } from './documents.mjs';
import { skills } from './skills.mjs';

const CAPABILITIES = {
  tools: { listChanged: true },
  resources: { subscribe: true, listChanged: true },
  prompts: { listChanged: true },
  logging: {},
  completions: {},
};
const LIST_HINT = { ttlMs: 5000, cacheScope: 'public' };

/**
 * @param {(change: 'tools'|'prompts') => void} announce tells whoever listens that a list changed
 * @returns {McpServer}
 */
export function createServer(announce) {
  const server = new McpServer(
    { name: 'portcullis-reference', version: '1.0.0' },
    {
      capabilities: CAPABILITIES,
      instructions: 'A server for conformance tests.',
      requestState: { verify: requestState.verify },
      cacheHints: {
        'tools/list': LIST_HINT,
        'prompts/list': LIST_HINT,
        'resources/list': LIST_HINT,
        'resources/templates/list': LIST_HINT,
      },
    },
  );
  for (const tool of [...contentTools(announce), ...dialogueTools]) registerTool(server, tool);
  for (const prompt of [...prompts, ...dialoguePrompts]) registerPrompt(server, prompt);
  registerResources(server);
  registerLegacyMethods(server);
  skills.attach(server);
  return server;
}

function registerTool(server, { name, description, schema, run }) {
  const inputSchema = fromJsonSchema(schema ?? { type: 'object', properties: {} });
  server.registerTool(name, { description, inputSchema }, (args, ctx) => run(ctx, args, server));
}

function registerPrompt(server, { name, description, schema, render }) {
  if (schema === undefined) {
    server.registerPrompt(name, { description }, ctx => render(ctx, {}));
  } else {
    server.registerPrompt(name, { description, argsSchema: fromJsonSchema(schema) }, (args, ctx) => render(ctx, args));
  }
}

/** What McpServer leaves to its user: subscriptions of legacy sessions and completion. */
function registerLegacyMethods(server) {
  const watched = new Set();
  server.server.setRequestHandler('resources/subscribe', async ({ params }) => {
    watched.add(params.uri);
    return {};
  });
  server.server.setRequestHandler('resources/unsubscribe', async ({ params }) => {
    watched.delete(params.uri);
    return {};
  });
  server.server.setRequestHandler('completion/complete', async ({ params }) => {
    const values = ['paris', 'park', 'party'].filter(word => word.startsWith(params.argument.value));
    return { completion: { values, total: values.length, hasMore: false } };
  });
}
