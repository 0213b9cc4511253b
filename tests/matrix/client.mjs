/**
 * A TypeScript client that can be asked for everything. `node client.mjs v1|v2|v2-auto PROFILE URL [COMMAND…]`
 *
 * With a command, the first generation starts it with the URL behind it and speaks stdio (mcp-remote). `PROFILE` is JSON
 * of profiles.json. Prints one line: `{"version", "results": {"list": "ok" | why not, …}}`.
 */

import { createRequire } from 'node:module';

const requirePeer = createRequire(new URL('../peers/package.json', import.meta.url));
const OPERATION_MS = 15_000;
const UPDATE_MS = 8_000;
const ROOTS = { roots: [{ uri: 'file:///matrix/root', name: 'root' }] };
const CAPABILITIES = { roots: {}, sampling: {}, elicitation: { form: {} } };

const [generation, profileText, url, ...command] = process.argv.slice(2);
const profile = JSON.parse(profileText);
const updates = [];
const { client, transport, callTool } = generation === 'v1' ? first() : second();

/** Accepts, with an answer for every field that is required. */
function elicited({ params }) {
  const { properties = {}, required = Object.keys(properties) } = params.requestedSchema;
  const value = schema => ({ boolean: true, integer: 1, number: 1 })[schema.type] ?? schema.enum?.[0] ?? 'Ada';
  return { action: 'accept', content: Object.fromEntries(required.map(name => [name, value(properties[name])])) };
}

function sampled() {
  return { role: 'assistant', content: { type: 'text', text: 'forty-two' }, model: 'none' };
}

function first() {
  const { Client } = requirePeer('@modelcontextprotocol/sdk/client/index.js');
  const { StreamableHTTPClientTransport } = requirePeer('@modelcontextprotocol/sdk/client/streamableHttp.js');
  const { StdioClientTransport } = requirePeer('@modelcontextprotocol/sdk/client/stdio.js');
  const types = requirePeer('@modelcontextprotocol/sdk/types.js');
  const client = new Client({ name: 'matrix', version: '1.0.0' }, { capabilities: CAPABILITIES });
  client.setRequestHandler(types.ElicitRequestSchema, elicited);
  client.setRequestHandler(types.CreateMessageRequestSchema, sampled);
  client.setRequestHandler(types.ListRootsRequestSchema, () => ROOTS);
  client.setNotificationHandler(types.ResourceUpdatedNotificationSchema, ({ params }) => void updates.push(params.uri));
  const transport = command.length
    ? new StdioClientTransport({ command: command[0], args: [...command.slice(1), url], env: process.env, stderr: 'ignore' })
    : new StreamableHTTPClientTransport(new URL(url));
  return { client, transport, callTool: (params, options) => client.callTool(params, undefined, options) };
}

function second() {
  const { Client, StreamableHTTPClientTransport } = requirePeer('@modelcontextprotocol/client');
  const negotiation = generation === 'v2-auto' ? { versionNegotiation: { mode: 'auto' } } : {};
  const client = new Client({ name: 'matrix', version: '1.0.0' }, { capabilities: CAPABILITIES, ...negotiation });
  client.setRequestHandler('elicitation/create', elicited);
  client.setRequestHandler('sampling/createMessage', sampled);
  client.setRequestHandler('roots/list', () => ROOTS);
  client.setNotificationHandler('notifications/resources/updated', ({ params }) => void updates.push(params.uri));
  const transport = new StreamableHTTPClientTransport(new URL(url));
  return { client, transport, callTool: (params, options) => client.callTool(params, options) };
}

const versionOf = () => client.getNegotiatedProtocolVersion?.() ?? transport.protocolVersion ?? '2025-11-25';

async function call({ tool, arguments: args, text }, options = {}) {
  const result = await callTool({ name: tool, arguments: args }, { timeout: OPERATION_MS, ...options });
  const said = JSON.stringify(result.content);
  if (result.isError) throw new Error(`is an error: ${said}`);
  if (text !== undefined && !said.includes(text)) throw new Error(`${text} is not in ${said}`);
}

const operations = {
  list: async () => {
    const { tools } = await client.listTools();
    if (!tools.some(tool => tool.name === profile.list)) throw new Error(`no ${profile.list}`);
  },
  call: () => call(profile.call),
  progress: async () => {
    let seen = 0;
    await call(profile.progress, { onprogress: () => (seen += 1) });
    if (seen < 1) throw new Error(`progress came ${seen} times`);
  },
  elicitation: () => call(profile.elicitation),
  sampling: () => call(profile.sampling),
  roots: () => call(profile.roots),
  subscribe: async () => {
    const { uri } = profile.subscribe;
    const subscription = versionOf() >= '2026'
      ? await client.listen({ resourceSubscriptions: [uri] })
      : void (await client.subscribeResource({ uri }));
    for (let tries = profile.subscribe.tries ?? 1; tries > 0 && !updates.includes(uri); tries -= 1) {
      await call(profile.subscribe);
      for (const end = Date.now() + UPDATE_MS; !updates.includes(uri) && Date.now() < end; ) {
        await new Promise(resolve => setTimeout(resolve, 50));
      }
    }
    if (!updates.includes(uri)) throw new Error('no notifications/resources/updated');
    await subscription?.close();
  },
};

function within(ms, promise) {
  const late = new Promise((_, reject) => setTimeout(() => reject(new Error(`not within ${ms} ms`)), ms));
  return Promise.race([promise, late]);
}

const results = {};
let version = 'none';
try {
  await within(30_000, client.connect(transport));
  version = versionOf();
  for (const [name, act] of Object.entries(operations)) {
    if (profile[name] === undefined) continue;
    results[name] = await within(OPERATION_MS + 2 * UPDATE_MS, act()).then(() => 'ok', error => String(error.message));
  }
} catch (error) {
  for (const name of Object.keys(profile)) results[name] = `cannot connect: ${error.message}`;
}
console.log(JSON.stringify({ version, results }));
process.exit(0);
