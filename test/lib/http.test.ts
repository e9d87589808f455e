import { once } from 'node:events';
import { copyFileSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import type { IncomingMessage } from 'node:http';
import { Agent, get } from 'node:https';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { text as readText } from 'node:stream/consumers';
import { TLSSocket } from 'node:tls';
import test, { type ExecutionContext } from 'ava';
import { pino } from 'pino';
import { text } from '../../src/lib/http/answer.js';
import { Assets } from '../../src/lib/http/assets.js';
import { startHttpServer } from '../../src/lib/http/http-server.js';
import { MAX_BODY_BYTES, type Routes } from '../../src/lib/http/router.js';
import { GatewayError } from '../../src/model/errors.js';
import { TestAuthority } from '../support/certificates.js';
import { unusedAddress } from '../support/loopback.js';
import { ManualClock } from '../support/manual-clock.js';

// Routes and bodies.

const HOST = await unusedAddress();

async function start(t: ExecutionContext, routes: Routes) {
  const logged: string[] = [];
  const logger = pino({}, { write: (line: string) => void logged.push(line) });
  const server = await startHttpServer({ address: { host: HOST, port: 0 }, routes, logger });
  t.teardown(() => server.close());
  return { url: `http://${HOST}:${server.port}`, port: server.port, logged };
}

const echo: Routes = {
  'GET /things/{id}': ({ parameters: { id } }) => text(`thing ${id}`),
  'GET /things/special': () => text('special'),
  'POST /things/{id}': async (exchange) => text(`${(await exchange.body()).length} bytes`),
};

test('a parameter is a whole segment, decoded; an exact address goes before it', async (t) => {
  const { url } = await start(t, echo);
  const read = async (path: string) => (await fetch(`${url}${path}`)).text();
  t.is(await read('/things/a%2Fb'), 'thing a/b\n');
  t.is(await read('/things/special?x=1'), 'special\n');
  t.is((await fetch(`${url}/things/%ff`)).status, 404);
  t.is((await fetch(`${url}/things/`)).status, 404);
});

test('an unknown address and a method that is not for it are told apart, as JSON', async (t) => {
  const { url } = await start(t, echo);
  const missing = await fetch(`${url}/nowhere`);
  t.is(missing.status, 404);
  t.like(await missing.json(), { error: { code: 'HTTP_PATH_UNKNOWN' } });
  const refused = await fetch(`${url}/things/1`, { method: 'DELETE' });
  t.is(refused.status, 405);
  t.is(refused.headers.get('allow'), 'GET, POST');
  t.like(await refused.json(), { error: { code: 'HTTP_METHOD_REFUSED' } });
});

test('HEAD answers as GET does, without the body', async (t) => {
  const { url } = await start(t, echo);
  const response = await fetch(`${url}/things/1`, { method: 'HEAD' });
  t.is(response.status, 200);
  t.is(await response.text(), '');
});

test('a handler that fails is one bad answer that says nothing of why; the log does', async (t) => {
  const { url, logged } = await start(t, {
    ...echo,
    'GET /broken': () => {
      throw new Error('the secret of the failure');
    },
  });
  const response = await fetch(`${url}/broken?token=query`);
  t.is(response.status, 500);
  t.notRegex(await response.text(), /secret/);
  t.regex(logged.join(''), /the secret of the failure/);
  t.notRegex(logged.join(''), /token=query/);
  t.is((await fetch(`${url}/things/1`)).status, 200);
});

test('a refusal that passes says when to come back', async (t) => {
  const { url } = await start(t, {
    'GET /later': () => {
      throw new GatewayError('CONTROL_PLANE_UNAVAILABLE', 'Later.', { retryAfterMs: 1500 });
    },
  });
  const response = await fetch(`${url}/later`);
  t.is(response.status, 503);
  t.is(response.headers.get('retry-after'), '2');
});

/** Comes without a length. */
async function* kilobytes(count: number): AsyncGenerator<Uint8Array> {
  for (let sent = 0; sent < count; sent += 1) yield Buffer.alloc(1024);
}

test('a body is taken up to its largest size, however it comes', async (t) => {
  const { url } = await start(t, echo);
  const post = (body: RequestInit['body'] & {}) =>
    fetch(`${url}/things/1`, { method: 'POST', body, duplex: 'half' });
  t.is(await (await post(Buffer.alloc(MAX_BODY_BYTES))).text(), `${MAX_BODY_BYTES} bytes\n`);
  const large = await post(Buffer.alloc(MAX_BODY_BYTES + 1));
  t.is(large.status, 413);
  t.like(await large.json(), { error: { code: 'HTTP_BODY_TOO_LARGE' } });
  t.is((await post(kilobytes(MAX_BODY_BYTES / 1024 + 1))).status, 413);
  t.is((await fetch(`${url}/things/1`)).status, 200);
});

test('a client that goes in the middle of its body leaves the server as it was', async (t) => {
  const { url, port, logged } = await start(t, echo);
  const socket = connect(port, HOST);
  socket.write('POST /things/1 HTTP/1.1\r\nhost: x\r\ncontent-length: 100\r\n\r\nhalf');
  await once(socket, 'connect');
  socket.destroy();
  t.is((await fetch(`${url}/things/1`)).status, 200);
  t.deepEqual(logged, []);
});

// Assets.

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
  const fetchScript = (headers: Record<string, string>) => fetch(url, { headers });
  const plain = await fetchScript({ 'accept-encoding': 'identity' });
  t.is(plain.headers.get('content-encoding'), null);
  t.is(await plain.text(), SCRIPT);
  for (const accepted of ['gzip', 'br, gzip;q=0.5', 'deflate,gzip;q=1']) {
    const zipped = await fetchScript({ 'accept-encoding': accepted });
    t.is(zipped.headers.get('content-encoding'), 'gzip', accepted);
    t.is(zipped.headers.get('vary'), 'accept-encoding');
    t.is(await zipped.text(), SCRIPT);
  }
  t.is(
    (await fetchScript({ 'accept-encoding': 'gzip;q=0' })).headers.get('content-encoding'),
    null,
  );
  const known = await fetchScript({ 'if-none-match': plain.headers.get('etag') ?? '' });
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

// Certificates.

const REFRESH_MS = 10_000;
const authority = new TestAuthority();

async function startTls(t: ExecutionContext) {
  const folder = mkdtempSync(join(tmpdir(), 'http-tls-'));
  t.teardown(() => rmSync(folder, { recursive: true }));
  const issue = (name: string) =>
    authority.writeFiles(folder, name, { commonName: name, dnsNames: ['localhost'] });
  const { certFile, keyFile } = issue('first');
  const clock = new ManualClock();
  const logged: string[] = [];
  const server = await startHttpServer({
    address: { host: HOST, port: 0 },
    routes: { 'GET /': () => text('hello') },
    logger: pino({}, { write: (line: string) => void logged.push(line) }),
    tls: { certFile, keyFile, clock },
  });
  t.teardown(() => server.close());
  const renew = (name: string) => {
    const files = issue(name);
    copyFileSync(files.certFile, certFile);
    copyFileSync(files.keyFile, keyFile);
  };
  return { server, port: server.port, clock, logged, certFile, keyFile, renew };
}

/** Says hello, and who answered. */
async function ask(port: number, agent: Agent | false = false): Promise<string> {
  const response = await new Promise<IncomingMessage>((resolve, reject) => {
    const options = {
      host: HOST,
      port,
      agent,
      ca: authority.certificatePem,
      servername: 'localhost',
    };
    get(options, resolve).on('error', reject);
  });
  const { socket } = response;
  const name = socket instanceof TLSSocket ? socket.getPeerCertificate().subject.CN : 'nobody';
  return `${(await readText(response)).trim()} from ${String(name)}`;
}

test('a renewed certificate is for new connections, and those that are open go on', async (t) => {
  const { port, clock, renew } = await startTls(t);
  const agent = new Agent({ keepAlive: true, maxSockets: 1 });
  t.teardown(() => agent.destroy());
  t.is(await ask(port, agent), 'hello from first');
  renew('second');
  t.is(await ask(port), 'hello from first');
  await clock.advance(REFRESH_MS);
  t.is(await ask(port), 'hello from second');
  t.is(await ask(port, agent), 'hello from first');
  renew('third');
  await clock.advance(REFRESH_MS);
  t.is(await ask(port), 'hello from third');
});

test('files that cannot be used change nothing, and are told of once', async (t) => {
  const { port, clock, logged, certFile, renew } = await startTls(t);
  writeFileSync(certFile, 'half a certifi');
  await clock.advance(3 * REFRESH_MS);
  t.is(await ask(port), 'hello from first');
  t.is(logged.filter((line) => line.includes('certificate refused')).length, 1);
  // Of another key: as in the middle of a renewal.
  writeFileSync(certFile, authority.issue({ commonName: 'other' }).certificatePem);
  await clock.advance(REFRESH_MS);
  t.is(await ask(port), 'hello from first');
  renew('second');
  await clock.advance(REFRESH_MS);
  t.is(await ask(port), 'hello from second');
});

test('who speaks plain text to it is cut off, and others are answered', async (t) => {
  const { port } = await startTls(t);
  const socket = connect(port, HOST);
  socket.on('error', () => undefined);
  const closed = once(socket, 'close');
  socket.write('GET / HTTP/1.1\r\nhost: x\r\n\r\n');
  socket.resume();
  await closed;
  t.is(await ask(port), 'hello from first');
});

test('whoever is in the midst of a handshake does not hold up the end', async (t) => {
  t.timeout(8_000, 'it waits for the handshake');
  const { server, port } = await startTls(t);
  const socket = connect(port, HOST);
  t.teardown(() => socket.destroy());
  socket.on('error', () => undefined);
  const closed = once(socket, 'close');
  // Connections are taken in their order: the one before this one is the server's by now.
  t.is(await ask(port), 'hello from first');
  await server.close();
  socket.resume();
  await closed;
});

test('where it cannot listen, its certificate is not read any more', async (t) => {
  const { port, certFile, keyFile } = await startTls(t);
  const clock = new ManualClock();
  const tls = { certFile, keyFile, clock };
  const logger = pino({ level: 'silent' });
  await t.throwsAsync(startHttpServer({ address: { host: HOST, port }, routes: {}, logger, tls }), {
    code: 'EADDRINUSE',
  });
  t.is(clock.pending, 0);
});

test('without a certificate that can be used it does not start', async (t) => {
  const files = { certFile: '/nowhere/tls.crt', keyFile: '/nowhere/tls.key' };
  const error = await t.throwsAsync(
    startHttpServer({
      address: { host: HOST, port: 0 },
      routes: {},
      logger: pino({ level: 'silent' }),
      tls: { ...files, clock: new ManualClock() },
    }),
    { instanceOf: GatewayError },
  );
  t.is(error?.code, 'SETTINGS_INVALID');
  t.regex(error?.message ?? '', /tls\.crt/);
});
