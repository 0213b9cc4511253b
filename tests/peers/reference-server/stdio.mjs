/**
 * The reference server on stdin and stdout, in the era asked for.
 *
 * In the dual and modern eras the SDK's entry looks at the first message and decides. In the legacy era the server is
 * wired to the transport by hand, as servers written before 2026-07-28 are: it answers `server/discover` with -32601.
 */

import { StdioServerTransport, serveStdio } from '@modelcontextprotocol/server/stdio';

import { createServer } from './features.mjs';

/** @param {'dual'|'legacy'|'modern'} era */
export async function serveOverStdio(era) {
  const build = () => {
    const server = createServer(change => announce(server, change));
    return server;
  };
  if (era === 'legacy') {
    await build().connect(new StdioServerTransport());
  } else {
    serveStdio(build, { legacy: era === 'dual' ? 'serve' : 'reject' });
  }
}

function announce(server, change) {
  if (change === 'tools') server.sendToolListChanged();
  else server.sendPromptListChanged();
}
