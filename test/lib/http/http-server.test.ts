import { connect } from 'node:net';
import { once } from 'node:events';
import test, { type ExecutionContext } from 'ava';
import { pino } from 'pino';
import { text } from '../../../src/lib/http/answer.js';
import { MAX_BODY_BYTES, type Routes } from '../../../src/lib/http/router.js';
import { startHttpServer } from '../../../src/lib/http/http-server.js';
import { GatewayError } from '../../../src/model/errors.js';
import { unusedAddress } from '../../support/loopback.js';

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
