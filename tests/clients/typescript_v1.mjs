/** The first generation of the TypeScript SDK, which knows the legacy era only. `node typescript_v1.mjs URL` */

import { exercise, requirePeer } from './exercise.mjs';

const { Client } = requirePeer('@modelcontextprotocol/sdk/client/index.js');
const { StreamableHTTPClientTransport } = requirePeer('@modelcontextprotocol/sdk/client/streamableHttp.js');

const client = new Client({ name: 'typescript-v1', version: '1.0.0' });
const transport = new StreamableHTTPClientTransport(new URL(process.argv[2]));
await exercise(client, transport, {
  version: () => transport.protocolVersion,
  callTool: (params, options) => client.callTool(params, undefined, options),
});
