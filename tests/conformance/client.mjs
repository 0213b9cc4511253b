/**
 * An SDK client that does what a client scenario of the suite asks for, against whatever URL it is given.
 *
 *   MCP_CONFORMANCE_SCENARIO=… MCP_CONFORMANCE_PROTOCOL_VERSION=… node client.mjs URL
 *
 * Built on the official TypeScript SDK, in the era of the version under test. It knows nothing of a gateway: run
 * against the suite's mock server it shows what the SDK itself does, run against a gateway before that mock it has to
 * bring the gateway to do the same. In scenarios of authorization it knows nothing of tokens: it only follows the links
 * that the gateway gives its user, as a browser would.
 */

import { createRequire } from 'node:module';
import { pathToFileURL } from 'node:url';

const peers = createRequire(new URL('../peers/package.json', import.meta.url));
const load = name => import(pathToFileURL(peers.resolve(name)).href);
const { Client, SdkError, SdkErrorCode, StreamableHTTPClientTransport } = await load('@modelcontextprotocol/client');
const { SkillsClient, SkillVerificationError } = await load('@modelcontextprotocol/client/ext/skills');

const MODERN = '2026-07-28';
const { MCP_CONFORMANCE_SCENARIO: scenario, MCP_CONFORMANCE_PROTOCOL_VERSION: version } = process.env;
const context = JSON.parse(process.env.MCP_CONFORMANCE_CONTEXT ?? '{}');

/** For each scenario: the capabilities its client declares, and what it does once connected. */
const SCENARIOS = {
  initialize: { run: client => client.listTools() },
  tools_call: {
    run: async client => {
      await client.listTools();
      await client.callTool({ name: 'add_numbers', arguments: { a: 5, b: 3 } });
    },
  },
  'elicitation-sep1034-client-defaults': {
    capabilities: { elicitation: { form: { applyDefaults: true } } },
    run: client => client.callTool({ name: 'test_client_elicitation_defaults', arguments: {} }),
  },
  'sse-retry': {
    run: async client => {
      await client.listTools();
      await client.callTool({ name: 'test_reconnection', arguments: {} });
    },
  },
  'json-schema-2020-12-preservation': {
    run: async client => {
      const { tools } = await client.listTools();
      const { inputSchema } = tools.find(tool => tool.name === 'json_schema_2020_12_tool');
      await client.callTool({ name: 'json_schema_echo', arguments: { schema: inputSchema } });
    },
  },
  'json-schema-ref-no-deref': { run: client => client.listTools() },
  'request-metadata': {
    capabilities: { roots: {}, sampling: {}, elicitation: { form: {} } },
    run: client => client.listTools(),
  },
  'sep-2322-client-request-state': {
    capabilities: { elicitation: { form: {} } },
    run: async client => {
      await client.listTools();
      for (const name of ['echo_state', 'unrelated', 'no_state']) {
        await client.callTool({ name: `test_mrtr_${name}`, arguments: {} });
      }
      // The SDK takes no result without `resultType`; what is checked is that it does not call again.
      await client.callTool({ name: 'test_mrtr_no_result_type', arguments: {} }).catch(unlessInvalidResult);
    },
  },
  'http-standard-headers': {
    run: async client => {
      const { tools } = await client.listTools();
      for (const { name } of tools) await client.callTool({ name, arguments: {} });
      const { resources } = await client.listResources();
      for (const { uri } of resources) await client.readResource({ uri });
      const { prompts } = await client.listPrompts();
      for (const { name } of prompts) await client.getPrompt({ name });
    },
  },
  'http-custom-headers': {
    run: async client => {
      await client.listTools();
      for (const { name, arguments: args } of context.toolCalls) await client.callTool({ name, arguments: args });
    },
  },
  'http-invalid-tool-headers': {
    run: async client => {
      const { tools } = await client.listTools();
      for (const { name, inputSchema } of tools) await client.callTool({ name, arguments: minimal(inputSchema) });
    },
  },
  'sep-2640-client-no-prefetch': { run: client => new SkillsClient(client).list() },
  'sep-2640-client-verify-digest': { run: useFirstSkill },
  'sep-2640-client-verify-size': { run: useFirstSkill },
  'sep-2640-client-verify-frontmatter': { run: useFirstSkill },
};

/** What every scenario of authorization wants: that a tool is called, whatever the gateway's user has to do for it. */
const AUTHORIZATION = {
  capabilities: { elicitation: { form: {}, url: {} } },
  run: async client => {
    const connect = 'portcullis_connect_account';
    const { tools } = await client.listTools();
    if (tools.some(({ name }) => name === connect)) {
      await client.callTool({ name: connect, arguments: {} });
      await client.listTools();
    }
    const result = await client.callTool({ name: 'test-tool', arguments: {} });
    if (result.isError) throw new Error(JSON.stringify(result.content));
  },
};

/** Follows a link as a browser does, and says whether it led to a page that is content. */
async function visit(link) {
  const cookies = new Map();
  const home = new URL(link).origin;
  let place = link;
  for (let step = 0; step < 10; step += 1) {
    const own = new URL(place).origin === home;
    const cookie = [...cookies].map(([name, value]) => `${name}=${value}`).join('; ');
    const answer = await fetch(place, { redirect: 'manual', headers: own && cookie ? { cookie } : {} });
    if (own) {
      for (const set of answer.headers.getSetCookie()) {
        const [, name, value] = set.match(/^([^=]+)=([^;]*)/);
        cookies.set(name, value);
      }
    }
    if (answer.status < 300 || answer.status >= 400) {
      console.log(`the browser ends at ${answer.status}: ${(await answer.text()).replace(/<[^>]*>/g, ' ')}`);
      return answer.ok;
    }
    place = new URL(answer.headers.get('location'), place).href;
  }
  return false;
}

/** Loads a skill and then what belongs to it, unless what was loaded is not what was listed. */
async function useFirstSkill(client) {
  const reader = new SkillsClient(client);
  const { skills } = await reader.list();
  const [skill] = skills;
  try {
    for (const { uri } of skill.resources) await reader.read(skill, uri);
  } catch (error) {
    if (!(error instanceof SkillVerificationError)) throw error;
    console.log(`refused: ${error.message}`);
  }
}

function unlessInvalidResult(error) {
  if (!(error instanceof SdkError && error.code === SdkErrorCode.InvalidResult)) throw error;
  console.log(`refused: ${error.message}`);
}

/** The least that a schema takes as arguments. */
function minimal({ properties = {}, required = [] }) {
  const examples = { string: 'x', integer: 0, number: 0, boolean: false, object: {}, array: [], null: null };
  return Object.fromEntries(required.map(name => [name, examples[properties[name]?.type] ?? 'x']));
}

/** What this client answers when it is asked: it accepts, and confirms where there is something to confirm. */
function answerQuestions(client, capabilities) {
  if (capabilities.elicitation) {
    client.setRequestHandler('elicitation/create', async ({ params }) => {
      if (params.mode === 'url') return { action: (await visit(params.url)) ? 'accept' : 'cancel' };
      const confirms = params.requestedSchema?.properties?.confirmed !== undefined;
      return { action: 'accept', content: confirms ? { confirmed: true } : {} };
    });
  }
  if (capabilities.sampling) {
    const content = { type: 'text', text: 'Sampled.' };
    client.setRequestHandler('sampling/createMessage', async () => ({ role: 'assistant', model: 'none', content }));
  }
  if (capabilities.roots) client.setRequestHandler('roots/list', async () => ({ roots: [] }));
}

const wanted = scenario.startsWith('auth/') ? AUTHORIZATION : SCENARIOS[scenario];
if (wanted === undefined) throw new Error(`nothing is known of the scenario ${scenario}`);
const { capabilities = {}, run } = wanted;
const era = version === MODERN ? { versionNegotiation: { mode: 'auto' } } : {};
const client = new Client({ name: 'portcullis-conformance', version: '1.0.0' }, { capabilities, ...era });
answerQuestions(client, capabilities);
await client.connect(new StreamableHTTPClientTransport(new URL(process.argv[2])));
await run(client);
await client.close();
