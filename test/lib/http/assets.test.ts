import test, { type ExecutionContext } from 'ava';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pino } from 'pino';
import { Assets } from '../../../src/lib/http/assets.js';
import { startHttpServer } from '../../../src/lib/http/http-server.js';

const SCRIPT = 'export const answer = 42;\n'.repeat(200);

async function serve(t: ExecutionContext, html: string): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'assets-'));
  await writeFile(join(folder, 'index.html'), html);
  await writeFile(join(folder, 'main.js'), SCRIPT);
  await writeFile(join(folder, 'notes.txt'), 'not for browsers');
  const assets = await Assets.load(folder);
  const server = await startHttpServer({
    address: { host: '127.0.0.1', port: 0 },
    routes: { ...assets.routes(), 'GET /': () => assets.page() },
    logger: pino({ enabled: false }),
  });
  t.teardown(async () => {
    await server.close();
    await rm(folder, { recursive: true });
  });
  return `http://127.0.0.1:${server.port}`;
}

test('a file is sent compressed to those who take it so, and once only', async (t) => {
  const url = `${await serve(t, '<p>')}/assets/main.js`;
  const get = (headers: Record<string, string>) => fetch(url, { headers });
  const plain = await get({ 'accept-encoding': 'identity' });
  t.is(plain.headers.get('content-encoding'), null);
  t.is(await plain.text(), SCRIPT);
  for (const accepted of ['gzip', 'br, gzip;q=0.5', 'deflate,gzip;q=1']) {
    const zipped = await get({ 'accept-encoding': accepted });
    t.is(zipped.headers.get('content-encoding'), 'gzip', accepted);
    t.is(zipped.headers.get('vary'), 'accept-encoding');
    t.is(await zipped.text(), SCRIPT);
  }
  t.is((await get({ 'accept-encoding': 'gzip;q=0' })).headers.get('content-encoding'), null);
  const known = await get({ 'if-none-match': plain.headers.get('etag') ?? '' });
  t.is(known.status, 304);
});

test('nothing else in the folder is served, nor beside it', async (t) => {
  const url = await serve(t, '<p>');
  for (const name of ['notes.txt', 'index', '..%2fmain.js', 'constructor']) {
    t.is((await fetch(`${url}/assets/${name}`)).status, 404, name);
  }
});

test('a page that asks for a nonce has another one each time, and its policy lets that in', async (t) => {
  const url = await serve(t, '<script nonce="{{nonce}}"></script>');
  const seen = new Set<string>();
  for (let n = 0; n < 3; n += 1) {
    const page = await fetch(url);
    const nonce = /nonce="([\w+/=]{20,})"/.exec(await page.text())?.[1] ?? '';
    const policy = page.headers.get('content-security-policy') ?? '';
    t.true(policy.includes(`style-src 'self' 'nonce-${nonce}'`));
    t.true(policy.includes("script-src 'self';"), 'scripts come from files alone');
    seen.add(nonce);
  }
  t.is(seen.size, 3);
});

test('a page without one lets no style in but its own file', async (t) => {
  const page = await fetch(await serve(t, '<p>'));
  t.regex(page.headers.get('content-security-policy') ?? '', /style-src 'self';/);
});
