/**
 * Prompts and resources. Their names, URIs and the texts that depend on arguments are the suite's.
 */

import { ResourceTemplate } from '@modelcontextprotocol/server';

import { PNG, text } from './content.mjs';

const user = content => ({ role: 'user', content });
const messages = (...contents) => ({ messages: contents.map(user) });
const strings = (...names) => ({
  type: 'object',
  properties: Object.fromEntries(names.map(name => [name, { type: 'string', description: `The value of ${name}` }])),
  required: names,
});

export const prompts = [
  {
    name: 'test_simple_prompt',
    description: 'A prompt without arguments',
    render: () => messages(text('A simple prompt.')),
  },
  {
    name: 'test_prompt_with_arguments',
    description: 'A prompt with two required arguments',
    schema: strings('arg1', 'arg2'),
    render: (_ctx, { arg1, arg2 }) => messages(text(`Arguments: arg1='${arg1}', arg2='${arg2}'`)),
  },
  {
    name: 'test_prompt_with_embedded_resource',
    description: 'A prompt that carries a resource',
    schema: strings('resourceUri'),
    render: (_ctx, { resourceUri }) =>
      messages(
        { type: 'resource', resource: { uri: resourceUri, mimeType: 'text/plain', text: 'The embedded text.' } },
        text('Please read the resource above.'),
      ),
  },
  {
    name: 'test_prompt_with_image',
    description: 'A prompt that carries an image',
    render: () => messages({ type: 'image', data: PNG, mimeType: 'image/png' }, text('Please describe the image.')),
  },
];

const resources = [
  { name: 'static-text', uri: 'test://static-text', mimeType: 'text/plain', text: 'The content of a text resource.' },
  { name: 'static-binary', uri: 'test://static-binary', mimeType: 'image/png', blob: PNG },
  { name: 'watched-resource', uri: 'test://watched-resource', mimeType: 'text/plain', text: 'Watched.' },
];

/** @param {import('@modelcontextprotocol/server').McpServer} server */
export function registerResources(server) {
  for (const { name, ...contents } of resources) {
    const config = { title: name, description: `The resource ${contents.uri}`, mimeType: contents.mimeType };
    server.registerResource(name, contents.uri, config, () => ({ contents: [contents] }));
  }
  const template = new ResourceTemplate('test://template/{id}/data', { list: undefined });
  const config = { title: 'template', description: 'A resource for every id', mimeType: 'application/json' };
  server.registerResource('template', template, config, (uri, { id }) => {
    const content = JSON.stringify({ id, data: `Data for ID: ${id}` });
    return { contents: [{ uri: uri.href, mimeType: 'application/json', text: content }] };
  });
}
