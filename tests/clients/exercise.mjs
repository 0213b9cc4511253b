/**
 * What a TypeScript client does with the aggregate endpoint, checked against `facts.json`.
 *
 * Both generations of the SDK have the same methods, so the clients differ only in how they connect. Prints one line
 * of JSON, `{"version", "checks", "failed": [...]}`, and sets the exit code: 0 only if every check passed.
 */

import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';

/** Finds packages among the installed peers; this directory has none of its own. */
export const requirePeer = createRequire(new URL('../peers/package.json', import.meta.url));

const FACTS = JSON.parse(
  readFileSync(new URL('facts.json', import.meta.url), 'utf8').replaceAll('$FILES', process.env.FILES ?? ''),
);

/**
 * @param {object} client a client of either SDK generation that is not connected yet
 * @param {object} transport how it reaches the endpoint
 * @param {{version: () => string, callTool: (params: object, options: object) => Promise<object>}} generation what
 *   the generations do differently: the protocol version spoken once connected, and the signature of `callTool`
 */
export async function exercise(client, transport, { version: versionOf, callTool }) {
  const failed = [];
  let checks = 0;
  const check = async (name, act) => {
    checks += 1;
    try {
      await act();
    } catch (error) {
      failed.push(`${name}: ${error.message}`);
    }
  };
  let version = 'none';
  await check('connect', () => client.connect(transport));
  if (failed.length === 0) {
    version = versionOf();
    await checkTools(client, callTool, check);
    await checkResources(client, check);
    await checkPrompts(client, check);
    if (version < '2026') await check('ping', () => client.ping());
    await check('close', () => client.close());
  }
  console.log(JSON.stringify({ version, checks, failed }));
  process.exit(failed.length === 0 ? 0 : 1);
}

async function checkTools(client, callTool, check) {
  await check('list tools', async () => {
    const names = (await allPages(client, 'listTools', 'tools')).map(tool => tool.name);
    expectAll(names, FACTS.tools);
    expect(new Set(names).size === names.length, `names repeat: ${names}`);
  });
  for (const { tool, arguments: args, text, progress = 0 } of FACTS.calls) {
    await check(`call ${tool}`, async () => {
      // The operation has a step more than is asked for: clients drop progress that the result overtakes in them.
      const seen = [];
      const options = progress > 0 ? { onprogress: step => seen.push(step.progress) } : {};
      const result = await callTool({ name: tool, arguments: args }, options);
      expect(!result.isError, `is an error: ${JSON.stringify(result.content)}`);
      expectText(result.content, text);
      expect(seen.length >= progress, `progress came ${seen.length} times, not ${progress}`);
    });
  }
  for (const tool of FACTS.unknownTools) {
    await check(`refuse ${tool}`, async () => {
      const isProtocolError = error => ({ isError: Number.isInteger(error.code) });
      const result = await callTool({ name: tool, arguments: {} }, {}).catch(isProtocolError);
      expect(result.isError === true, `was answered: ${JSON.stringify(result)}`);
    });
  }
}

async function checkResources(client, check) {
  await check('list resources', async () => {
    const uris = (await allPages(client, 'listResources', 'resources')).map(resource => resource.uri);
    expectAll(uris, FACTS.resources.map(resource => resource.uri));
  });
  await check('list resource templates', async () => {
    const templates = await allPages(client, 'listResourceTemplates', 'resourceTemplates');
    expectAll(templates.map(template => template.uriTemplate), FACTS.templates.map(template => template.uriTemplate));
  });
  for (const { uri, text } of [...FACTS.resources, ...FACTS.templates]) {
    await check(`read ${uri}`, async () => {
      const { contents } = await client.readResource({ uri });
      expect(contents[0].uri === uri, `contents are of ${contents[0].uri}`);
      expectText(contents, text);
    });
  }
}

async function checkPrompts(client, check) {
  await check('list prompts', async () => {
    const names = (await allPages(client, 'listPrompts', 'prompts')).map(prompt => prompt.name);
    expectAll(names, FACTS.prompts.map(prompt => prompt.name));
  });
  for (const { name, arguments: args, text } of FACTS.prompts) {
    await check(`get ${name}`, async () => {
      const { messages } = await client.getPrompt({ name, arguments: args });
      expectText(messages.map(message => message.content), text);
    });
  }
  for (const { ref, argument, value } of FACTS.completions) {
    await check(`complete ${ref.name ?? ref.uri}`, async () => {
      const { completion } = await client.complete({ ref, argument });
      expectAll(completion.values, [value]);
    });
  }
}

async function allPages(client, method, field) {
  const all = [];
  let cursor;
  do {
    const page = await client[method](cursor === undefined ? undefined : { cursor });
    all.push(...page[field]);
    cursor = page.nextCursor;
  } while (cursor !== undefined);
  return all;
}

function expect(holds, otherwise) {
  if (!holds) throw new Error(otherwise);
}

function expectAll(present, wanted) {
  for (const item of wanted) expect(present.includes(item), `${item} is not among ${present.join(', ')}`);
}

function expectText(contents, wanted) {
  const texts = contents.map(content => content.text ?? '').join('\n');
  expect(texts.includes(wanted), `“${wanted}” is not in “${texts.slice(0, 200)}”`);
}
