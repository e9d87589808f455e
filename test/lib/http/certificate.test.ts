import { once } from 'node:events';
import { copyFileSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { Agent, get } from 'node:https';
import { connect as connectPlain } from 'node:net';
import type { IncomingMessage } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { TLSSocket } from 'node:tls';
import test, { type ExecutionContext } from 'ava';
import { pino } from 'pino';
import { text as textAnswer } from '../../../src/lib/http/answer.js';
import { startHttpServer } from '../../../src/lib/http/http-server.js';
import { GatewayError } from '../../../src/model/errors.js';
import { TestAuthority } from '../../support/certificates.js';
import { ManualClock } from '../../support/manual-clock.js';
import { unusedAddress } from '../../support/loopback.js';

const HOST = await unusedAddress();
const REFRESH_MS = 10_000;
const authority = new TestAuthority();

async function start(t: ExecutionContext) {
  const folder = mkdtempSync(join(tmpdir(), 'http-tls-'));
  t.teardown(() => rmSync(folder, { recursive: true }));
  const issue = (name: string) =>
    authority.writeFiles(folder, name, { commonName: name, dnsNames: ['localhost'] });
  const { certFile, keyFile } = issue('first');
  const clock = new ManualClock();
  const logged: string[] = [];
  const server = await startHttpServer({
    address: { host: HOST, port: 0 },
    routes: { 'GET /': () => textAnswer('hello') },
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
  return `${(await text(response)).trim()} from ${String(name)}`;
}

test('a renewed certificate is for new connections, and those that are open go on', async (t) => {
  const { port, clock, renew } = await start(t);
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
  const { port, clock, logged, certFile, renew } = await start(t);
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
  const { port } = await start(t);
  const socket = connectPlain(port, HOST);
  socket.on('error', () => undefined);
  const closed = once(socket, 'close');
  socket.write('GET / HTTP/1.1\r\nhost: x\r\n\r\n');
  socket.resume();
  await closed;
  t.is(await ask(port), 'hello from first');
});

test('whoever is in the midst of a handshake does not hold up the end', async (t) => {
  t.timeout(8_000, 'it waits for the handshake');
  const { server, port } = await start(t);
  const socket = connectPlain(port, HOST);
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
  const { port, certFile, keyFile } = await start(t);
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
