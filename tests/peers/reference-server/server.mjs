/**
 * The reference MCP server: everything the official conformance suite asks of a server, in both eras.
 *
 *   node server.mjs --http PORT [--era dual|legacy|modern]    prints `listening http://127.0.0.1:PORT/mcp`
 *   node server.mjs --stdio [--era dual|legacy|modern]
 *
 * It is the known-good upstream: what the suite says of it directly is what a gateway in front of it has to keep.
 * Built on the official TypeScript SDK, so that the gateway meets an independent implementation. `--era` holds it to
 * one era, which makes it the upstream for crossings (a modern client reaching a legacy server and the reverse).
 * It keeps no state beyond legacy sessions, needs no configuration and only ever listens on loopback.
 */

import { parseArgs } from 'node:util';

import { serveHttp } from './http.mjs';
import { serveOverStdio } from './stdio.mjs';

const ERAS = ['dual', 'legacy', 'modern'];
const USAGE = 'usage: server.mjs (--http PORT | --stdio) [--era dual|legacy|modern]';

function readArguments() {
  const { values } = parseArgs({
    options: { http: { type: 'string' }, stdio: { type: 'boolean' }, era: { type: 'string', default: 'dual' } },
  });
  const port = values.http === undefined ? undefined : Number(values.http);
  const oneTransport = (port === undefined) === (values.stdio === true);
  if (!oneTransport || !ERAS.includes(values.era)) throw new Error(USAGE);
  if (port !== undefined && !(Number.isInteger(port) && port >= 0 && port < 65536)) throw new Error(USAGE);
  return { port, era: values.era };
}

let options;
try {
  options = readArguments();
} catch (error) {
  console.error(error.message);
  process.exit(2);
}

if (options.port === undefined) {
  await serveOverStdio(options.era);
} else {
  const url = await serveHttp(options.port, options.era);
  console.log(`listening ${url}`);
}
