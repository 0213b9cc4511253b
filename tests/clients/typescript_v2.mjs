/**
 * The second generation of the TypeScript SDK. `node typescript_v2.mjs URL [auto]`
 *
 * It speaks the legacy era unless it is told to negotiate, which `auto` does.
 */

import { exercise, requirePeer } from './exercise.mjs';

const { Client, StreamableHTTPClientTransport } = requirePeer('@modelcontextprotocol/client');

const [url, mode] = process.argv.slice(2);
const options = mode === undefined ? {} : { versionNegotiation: { mode } };
const client = new Client({ name: 'typescript-v2', version: '1.0.0' }, options);
await exercise(client, new StreamableHTTPClientTransport(new URL(url)), {
  version: () => client.getNegotiatedProtocolVersion(),
  callTool: (params, options) => client.callTool(params, options),
});
