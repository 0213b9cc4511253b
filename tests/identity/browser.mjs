/**
 * The part of a browser that a login needs: redirects, cookies, forms. `node browser.mjs URL REDIRECT LOGIN`
 *
 * It fills in the login, agrees to what it is asked, and prints the URL that the provider sends it back to; with `page` for
 * REDIRECT, what the last page says. The titles of the pages that it sees go to the file BROWSER_LOG, one a line.
 */

import { appendFileSync } from 'node:fs';

const [url, redirect, login] = process.argv.slice(2);
const STEPS = 20;
const cookies = new Map();

let next = { url: new URL(url) };
for (let step = 0; step < STEPS; step++) {
  if (redirect !== 'page' && next.url.href.startsWith(redirect)) {
    console.log(next.url.href);
    process.exit(0);
  }
  next = await visit(next);
}
throw new Error(`no end of the login after ${STEPS} steps`);

async function visit({ url, form }) {
  const cookie = [...cookies].map(([name, value]) => `${name}=${value}`).join('; ');
  const answer = await fetch(url, { method: form ? 'POST' : 'GET', body: form, headers: { cookie }, redirect: 'manual' });
  for (const line of answer.headers.getSetCookie()) {
    const [, name, value] = /^([^=]+)=([^;]*)/.exec(line);
    if (value === '') cookies.delete(name);
    else cookies.set(name, value);
  }
  const location = answer.headers.get('location');
  if (location !== null) return { url: new URL(location, url) };
  const page = await answer.text();
  if (redirect === 'page' && !page.includes('<form')) {
    console.log(answer.status, page.replace(/<[^>]*>/g, ' '));
    process.exit(0);
  }
  const action = /<form[^>]*action="([^"]+)"/.exec(page)?.[1];
  if (!answer.ok || action === undefined) throw new Error(`${answer.status} at ${url}: ${page.slice(0, 2000)}`);
  const title = /<title>([^<]*)<\/title>/.exec(page)?.[1] ?? '';
  if (process.env.BROWSER_LOG !== undefined) appendFileSync(process.env.BROWSER_LOG, `${title}\n`);
  const filled = new URLSearchParams();
  for (const [, name, value] of page.matchAll(/<input[^>]*type="hidden"[^>]*name="([^"]+)"[^>]*value="([^"]*)"/g)) {
    filled.set(name, value);
  }
  const button = /<button[^>]*name="([^"]+)"[^>]*value="([^"]+)"/.exec(page);
  if (button !== null) filled.set(button[1], button[2]);
  if (/name="login"/.test(page)) {
    filled.set('login', login);
    filled.set('password', 'any');
  }
  return { url: new URL(action, url), form: filled };
}
