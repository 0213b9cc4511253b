/**
 * Tools and prompts that need something from the client before they can answer: elicitation, sampling, roots.
 *
 * Each is a pure function of the answers at hand: it returns its questions until they are answered. Modern clients see
 * `input_required` results and come back; for legacy clients the SDK asks by real requests in between. What must
 * survive between rounds travels in `requestState`, sealed with a key that dies with the process.
 */

import { randomBytes, randomUUID } from 'node:crypto';

import {
  CLIENT_CAPABILITIES_META_KEY,
  acceptedContent,
  createRequestStateCodec,
  inputRequired,
  inputResponse,
} from '@modelcontextprotocol/server';

import { answer, text } from './content.mjs';

export const requestState = createRequestStateCodec({ key: randomBytes(32) });
/** A state never equals an earlier one, so a nonce goes in. */
const seal = payload => requestState.mint({ ...payload, nonce: randomUUID() });

const form = (message, properties, required = Object.keys(properties)) =>
  inputRequired.elicit({ message, requestedSchema: { type: 'object', properties, required } });
const askFor = (field, message, type = 'string') => form(message, { [field]: { type } });
const prompting = (prompt, maxTokens) => ({ messages: [{ role: 'user', content: text(prompt) }], maxTokens });
const sample = (prompt, maxTokens) => inputRequired.createMessage(prompting(prompt, maxTokens));

const accepted = (ctx, key) => acceptedContent(ctx.mcpReq.inputResponses, key);
const response = (ctx, key) => inputResponse(ctx.mcpReq.inputResponses, key);
const rootsOf = (ctx, key) => {
  const view = response(ctx, key);
  return view.kind === 'roots' ? view.roots : undefined;
};
const sampled = (ctx, key) => {
  const view = response(ctx, key);
  return view.kind === 'sampling' ? (view.result.content?.text ?? JSON.stringify(view.result.content)) : undefined;
};

/** A tool that asks one elicitation and tells what came of it, whatever the user chose. */
function elicitingTool(name, description, question, schema) {
  return {
    name,
    description,
    schema,
    run: (ctx, args) => {
      const reply = response(ctx, 'answer');
      if (reply.kind !== 'elicit') return inputRequired({ inputRequests: { answer: question(args) } });
      return answer(text(`action=${reply.action}, content=${JSON.stringify(reply.content ?? {})}`));
    },
  };
}

const oneString = name => ({ type: 'object', properties: { [name]: { type: 'string' } }, required: [name] });
const titled = words => words.map((title, index) => ({ const: `value${index + 1}`, title }));
const OPTIONS = ['option1', 'option2', 'option3'];

const DEFAULTS_FORM = {
  name: { type: 'string', description: 'User name', default: 'John Doe' },
  age: { type: 'integer', description: 'User age', default: 30 },
  score: { type: 'number', description: 'User score', default: 95.5 },
  status: { type: 'string', description: 'User status', enum: ['active', 'inactive', 'pending'], default: 'active' },
  verified: { type: 'boolean', description: 'Whether verified', default: true },
};

const ENUMS_FORM = {
  untitledSingle: { type: 'string', enum: OPTIONS },
  titledSingle: { type: 'string', oneOf: titled(['First Option', 'Second Option', 'Third Option']) },
  legacyEnum: { type: 'string', enum: ['opt1', 'opt2', 'opt3'], enumNames: ['First', 'Second', 'Third'] },
  untitledMulti: { type: 'array', minItems: 1, maxItems: 3, items: { type: 'string', enum: OPTIONS } },
  titledMulti: {
    type: 'array',
    minItems: 1,
    maxItems: 3,
    items: { anyOf: titled(['First Choice', 'Second Choice', 'Third Choice']) },
  },
};

const asking = [
  elicitingTool(
    'test_elicitation',
    'Asks the user',
    ({ message }) => askFor('response', message),
    oneString('message'),
  ),
  elicitingTool('test_elicitation_sep1034_defaults', 'Asks with a default for every type', () =>
    form('Please review the form', DEFAULTS_FORM, []),
  ),
  elicitingTool('test_elicitation_sep1330_enums', 'Asks with every form of enumeration', () =>
    form('Please choose', ENUMS_FORM, []),
  ),
  {
    name: 'test_sampling',
    description: 'Asks the model of the client',
    schema: oneString('prompt'),
    run: (ctx, { prompt }) => {
      const reply = sampled(ctx, 'reply');
      if (reply === undefined) return inputRequired({ inputRequests: { reply: sample(prompt, 100) } });
      return answer(text(`LLM response: ${reply}`));
    },
  },
  {
    name: 'test_missing_capability',
    description: 'Cannot answer a client that does not sample',
    run: async ctx => {
      if (isLegacy(ctx)) {
        // As servers of that era do: they ask, whatever was declared, and see what comes back.
        await ctx.mcpReq.requestSampling(prompting('Say pong.', 16), { relatedRequestId: ctx.mcpReq.id });
        return answer(text('Sampled.'));
      }
      if (sampled(ctx, 'reply') !== undefined) return answer(text('Sampled.'));
      return inputRequired({ inputRequests: { reply: sample('Say pong.', 16) } });
    },
  },
  {
    name: 'test_input_required_result_elicitation',
    description: 'Asks for a name',
    run: ctx => {
      const name = accepted(ctx, 'user_name')?.name;
      if (typeof name === 'string') return answer(text(`Hello, ${name}!`));
      return inputRequired({ inputRequests: { user_name: askFor('name', 'What is your name?') } });
    },
  },
  {
    name: 'test_input_required_result_sampling',
    description: 'Asks the model of the client for a capital',
    run: ctx => {
      const reply = sampled(ctx, 'capital_question');
      if (reply !== undefined) return answer(text(reply));
      return inputRequired({ inputRequests: { capital_question: sample('What is the capital of France?', 100) } });
    },
  },
  {
    name: 'test_input_required_result_list_roots',
    description: 'Asks for the roots of the client',
    run: ctx => {
      const roots = rootsOf(ctx, 'client_roots');
      if (roots !== undefined) return answer(text(`Roots: ${roots.map(root => root.uri).join(', ')}`));
      return inputRequired({ inputRequests: { client_roots: inputRequired.listRoots() } });
    },
  },
];

const stateful = [
  {
    name: 'test_input_required_result_request_state',
    description: 'Asks for a confirmation and wants its state back',
    run: confirmed('request_state', 'state-ok'),
  },
  {
    name: 'test_input_required_result_tampered_state',
    description: 'Asks for a confirmation and refuses a state it did not make',
    run: confirmed('tampered_state', 'integrity-ok'),
  },
  {
    name: 'test_input_required_result_multiple_inputs',
    description: 'Asks three different things at once',
    run: async ctx => {
      const name = accepted(ctx, 'user_name')?.name;
      const greeting = sampled(ctx, 'greeting');
      const roots = rootsOf(ctx, 'client_roots');
      if (name !== undefined && greeting !== undefined && roots !== undefined) {
        return answer(text(`${greeting} ${name}, you have ${roots.length} roots.`));
      }
      return inputRequired({ inputRequests: threeQuestions(), requestState: await seal({ of: 'multiple_inputs' }) });
    },
  },
  {
    name: 'test_input_required_result_multi_round',
    description: 'Asks twice, one question after the other',
    run: async ctx => {
      const state = ctx.mcpReq.requestState();
      if (state === undefined) {
        const step1 = askFor('name', 'Step 1: What is your name?');
        return inputRequired({ inputRequests: { step1 }, requestState: await seal({ round: 1 }) });
      }
      if (state.round === 1) {
        const step2 = askFor('color', 'Step 2: What is your favorite color?');
        const name = accepted(ctx, 'step1')?.name;
        return inputRequired({ inputRequests: { step2 }, requestState: await seal({ round: 2, name }) });
      }
      return answer(text(`${state.name} likes ${accepted(ctx, 'step2')?.color}.`));
    },
  },
  {
    name: 'test_input_required_result_capabilities',
    description: 'Asks only what the client says it can answer',
    run: (ctx, _args, server) => {
      if (ctx.mcpReq.inputResponses !== undefined) return answer(text('Answered.'));
      const inputRequests = coveredBy(capabilitiesOf(ctx, server));
      if (Object.keys(inputRequests).length === 0) return answer(text('This client can be asked nothing.'));
      return inputRequired({ inputRequests });
    },
  },
];

export const dialogueTools = [...asking, ...stateful];

export const dialoguePrompts = [
  {
    name: 'test_input_required_result_prompt',
    description: 'A prompt that asks for its context',
    render: ctx => {
      const context = accepted(ctx, 'user_context')?.context;
      if (typeof context === 'string') return { messages: [{ role: 'user', content: text(`Context: ${context}`) }] };
      return inputRequired({ inputRequests: { user_context: askFor('context', 'What context should be used?') } });
    },
  },
];

function confirmed(of, verdict) {
  return async ctx => {
    const state = ctx.mcpReq.requestState();
    if (state?.of === of && accepted(ctx, 'confirm') !== undefined) return answer(text(verdict));
    const confirm = askFor('ok', 'Please confirm', 'boolean');
    return inputRequired({ inputRequests: { confirm }, requestState: await seal({ of }) });
  };
}

function threeQuestions() {
  return {
    user_name: askFor('name', 'What is your name?'),
    greeting: sample('Generate a greeting', 50),
    client_roots: inputRequired.listRoots(),
  };
}

const isLegacy = ctx => ctx.mcpReq.envelope === undefined;

/** A modern request declares its own capabilities, a legacy session declared them when it opened. */
function capabilitiesOf(ctx, server) {
  return ctx.mcpReq.envelope?.[CLIENT_CAPABILITIES_META_KEY] ?? server.server.getClientCapabilities() ?? {};
}

function coveredBy({ elicitation, sampling, roots }) {
  const { user_name, greeting, client_roots } = threeQuestions();
  return {
    ...(elicitation !== undefined && { user_name }),
    ...(sampling !== undefined && { greeting }),
    ...(roots !== undefined && { client_roots }),
  };
}
