/**
 * A host of client id metadata documents, as the makers of clients have one. `node documents.mjs CERT KEY` prints
 * `listening URL`; the documents are `/typescript.json` and `/python.json`.
 */

import { readFileSync } from 'node:fs';
import { createServer } from 'node:https';

const [cert, key] = process.argv.slice(2);
const REDIRECTS = { typescript: 'http://127.0.0.1:33418/callback', python: 'http://127.0.0.1:33419/callback' };

const server = createServer({ cert: readFileSync(cert), key: readFileSync(key) }, (request, answer) => {
  const name = /^\/(\w+)\.json$/.exec(request.url)?.[1];
  if (!(name in REDIRECTS)) return answer.writeHead(404).end();
  answer.writeHead(200, { 'content-type': 'application/json', 'cache-control': 'max-age=600' });
  answer.end(
    JSON.stringify({
      client_id: `https://localhost:${server.address().port}${request.url}`,
      client_name: `A client in ${name}`,
      redirect_uris: [REDIRECTS[name]],
      grant_types: ['authorization_code', 'refresh_token'],
      response_types: ['code'],
      token_endpoint_auth_method: 'none',
    }),
  );
});
server.listen(0, '127.0.0.1', () => console.log(`listening https://localhost:${server.address().port}`));
