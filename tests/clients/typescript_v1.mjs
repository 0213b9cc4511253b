/**
 * The first generation of the TypeScript SDK, which knows the legacy era only. `node typescript_v1.mjs URL [sse]`; with
 * `sse` the URL is that of an HTTP+SSE stream.
 */

import { exercise, requirePeer } from './exercise.mjs';

const { Client } = requirePeer('@modelcontextprotocol/sdk/client/index.js');
const { SSEClientTransport } = requirePeer('@modelcontextprotocol/sdk/client/sse.js');
const { StreamableHTTPClientTransport } = requirePeer('@modelcontextprotocol/sdk/client/streamableHttp.js');

const client = new Client({ name: 'typescript-v1', version: '1.0.0' });
const Transport = process.argv[3] === 'sse' ? SSEClientTransport : StreamableHTTPClientTransport;
const transport = new Transport(new URL(process.argv[2]));
// Only one of the two says afterwards which version was agreed on.
let version = 'none';
const agree = transport.setProtocolVersion.bind(transport);
transport.setProtocolVersion = agreed => {
  version = agreed;
  agree(agreed);
};
await exercise(client, transport, {
  version: () => version,
  callTool: (params, options) => client.callTool(params, undefined, options),
});
