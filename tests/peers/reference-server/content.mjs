/**
 * Tools that answer by themselves: every kind of content, schemas that must survive untouched, notifications on the
 * way, a stream closed in mid-call, and the triggers of change notifications.
 *
 * Names and argument shapes are the suite's. The first tool must accept a call without arguments: header scenarios
 * call whichever tool the list puts first.
 */

/** A red pixel. */
export const PNG = 'iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mP8z8DwHwAFBQIAX8jx0gAAAABJRU5ErkJggg==';
/** A WAV file without samples. */
const WAV = 'UklGRiYAAABXQVZFZm10IBAAAAABAAEAQB8AAAB9AAACABAAZGF0YQIAAAA=';

/** Long enough for notifications to travel as separate events, in milliseconds. */
const STEP_MS = 50;
/** Longer than a client needs to see its stream closed, in milliseconds. */
const AFTER_CLOSE_MS = 100;

export const text = value => ({ type: 'text', text: value });
export const answer = (...content) => ({ content });
const pause = ms => new Promise(resolve => setTimeout(resolve, ms));

/** A schema with the parts of JSON Schema 2020-12 that careless intermediaries drop. */
const RICH_SCHEMA = {
  $schema: 'https://json-schema.org/draft/2020-12/schema',
  type: 'object',
  $defs: {
    address: {
      $anchor: 'addressDef',
      type: 'object',
      properties: { street: { type: 'string' }, city: { type: 'string' } },
    },
  },
  properties: {
    name: { type: 'string' },
    address: { $ref: '#/$defs/address' },
    contactMethod: { type: 'string', enum: ['phone', 'email'] },
    phone: { type: 'string' },
    email: { type: 'string' },
  },
  allOf: [{ anyOf: [{ required: ['phone'] }, { required: ['email'] }] }],
  if: { properties: { contactMethod: { const: 'phone' } }, required: ['contactMethod'] },
  then: { required: ['phone'] },
  else: { required: ['email'] },
  additionalProperties: false,
};

const MIRRORED_SCHEMA = {
  type: 'object',
  properties: {
    region: { type: 'string', description: 'Mirrored into Mcp-Param-Region', 'x-mcp-header': 'Region' },
    level: { type: 'integer', description: 'Not mirrored' },
  },
};

const plain = [
  {
    name: 'test_simple_text',
    description: 'Answers with text',
    run: () => answer(text('A plain text answer.')),
  },
  {
    name: 'test_x_mcp_header',
    description: 'Has an argument that clients repeat in an HTTP header',
    schema: MIRRORED_SCHEMA,
    run: (_ctx, { region = 'none' }) => answer(text(`region=${region}`)),
  },
  {
    name: 'json_schema_2020_12_tool',
    description: 'Has a schema that must arrive unchanged',
    schema: RICH_SCHEMA,
    run: (_ctx, args) => answer(text(JSON.stringify(args))),
  },
  {
    name: 'test_image_content',
    description: 'Answers with an image',
    run: () => answer({ type: 'image', data: PNG, mimeType: 'image/png' }),
  },
  {
    name: 'test_audio_content',
    description: 'Answers with audio',
    run: () => answer({ type: 'audio', data: WAV, mimeType: 'audio/wav' }),
  },
  {
    name: 'test_embedded_resource',
    description: 'Answers with an embedded resource',
    run: () => answer(embedded('test://embedded-resource', 'text/plain', 'The text of an embedded resource.')),
  },
  {
    name: 'test_multiple_content_types',
    description: 'Answers with text, an image and a resource',
    run: () =>
      answer(
        text('Three kinds of content:'),
        { type: 'image', data: PNG, mimeType: 'image/png' },
        embedded('test://mixed-content-resource', 'application/json', '{"test":"data","value":123}'),
      ),
  },
  {
    name: 'test_error_handling',
    description: 'Always fails',
    run: () => {
      throw new Error('This tool fails on purpose');
    },
  },
  {
    name: 'test_streaming_elicitation',
    description: 'Answers without asking anything, so its stream holds no request',
    run: () => answer(text('Nothing was asked.')),
  },
];

const streaming = [
  {
    name: 'test_tool_with_logging',
    description: 'Logs three times before it answers',
    run: async ctx => {
      for (const step of ['started', 'processing', 'completed']) {
        await ctx.mcpReq.log('info', `Tool ${step}`);
        await pause(STEP_MS);
      }
      return answer(text('Logged three times.'));
    },
  },
  {
    name: 'test_logging_tool',
    description: 'Logs only when the request asks for logs',
    run: async ctx => {
      await ctx.mcpReq.log('info', 'Only for requests that set a log level');
      return answer(text('Logged if asked to.'));
    },
  },
  {
    name: 'test_tool_with_progress',
    description: 'Reports progress three times before it answers',
    run: async ctx => {
      const progressToken = ctx.mcpReq._meta?.progressToken;
      for (const progress of [0, 50, 100]) {
        if (progressToken !== undefined) {
          const params = { progressToken, progress, total: 100, message: `${progress} of 100` };
          await ctx.mcpReq.notify({ method: 'notifications/progress', params });
        }
        await pause(STEP_MS);
      }
      return answer(text(`Token: ${progressToken ?? 'none'}`));
    },
  },
  {
    name: 'test_reconnection',
    description: 'Closes the response stream before it answers; the answer is fetched by reconnecting',
    run: async ctx => {
      ctx.http?.closeSSE?.();
      await pause(AFTER_CLOSE_MS);
      return answer(text('You came back for this.'));
    },
  },
];

/** @param {(change: 'tools'|'prompts') => void} announce */
export function contentTools(announce) {
  const trigger = (name, change) => ({
    name,
    description: `Says that the list of ${change} changed, though it did not`,
    run: () => {
      announce(change);
      return answer(text(`Announced: ${change}.`));
    },
  });
  const triggers = [trigger('test_trigger_tool_change', 'tools'), trigger('test_trigger_prompt_change', 'prompts')];
  return [...plain, ...streaming, ...triggers];
}

function embedded(uri, mimeType, content) {
  return { type: 'resource', resource: { uri, mimeType, text: content } };
}
