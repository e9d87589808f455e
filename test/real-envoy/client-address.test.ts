/** Who Envoy tells authz that the client is, on whose address policy may rest. */
import { once } from 'node:events';
import { connect as connectHttp2 } from 'node:http2';
import { connect } from 'node:net';
import test, { type ExecutionContext } from 'ava';
import { CLIENT_ADDRESS_HEADER, SPARK_CONNECT_SERVICE } from '../../src/model/names.js';
import type { ListenerSettings } from '../../src/envoy/settings.js';
import { type Front, startFront, testSettings } from '../support/front.js';

async function withListener(t: ExecutionContext, listener: Partial<ListenerSettings>) {
  const front = await startFront({
    settings: { ...testSettings, listener: { ...testSettings.listener, ...listener } },
  });
  t.teardown(() => front.stop());
  return front;
}

/** The client's address as authz is told it, for a connection that begins with `preface`. */
async function toldAddress(
  front: Front,
  headers: Readonly<Record<string, string>>,
  preface = '',
): Promise<string | undefined> {
  const [host, port] = front.address.split(':');
  const socket = connect({ host, port: Number(port) });
  await once(socket, 'connect');
  if (preface !== '') socket.write(preface);
  const session = connectHttp2(`http://${front.address}`, { createConnection: () => socket });
  const request = session.request({
    ':method': 'POST',
    ':path': `/${SPARK_CONNECT_SERVICE}/Config`,
    'content-type': 'application/grpc',
    te: 'trailers',
    ...headers,
  });
  request.end(Buffer.from([0, 0, 0, 0, 0]));
  // Shows as the request's error, too.
  session.on('error', () => undefined);
  await once(request, 'response');
  request.resume();
  await once(request, 'close');
  session.close();
  const told = front.authz.requests.at(-1)?.attributes;
  const named = told?.request?.http?.headers[CLIENT_ADDRESS_HEADER];
  if (named !== undefined) return named;
  const address = told?.source?.address?.address;
  return address?.case === 'socketAddress' ? address.value.address : undefined;
}

test('by default nothing that a client says changes its address', async (t) => {
  const front = await withListener(t, {});
  const own = await toldAddress(front, {});
  t.regex(own ?? '', /^127\./);
  t.is(await toldAddress(front, { 'x-forwarded-for': '203.0.113.7' }), own);
  t.is(await toldAddress(front, { [CLIENT_ADDRESS_HEADER]: '203.0.113.7' }), own);
  t.is(await toldAddress(front, { forwarded: 'for=203.0.113.7' }), own);
});

test('behind a proxy that is trusted, the client is whom that names, not whom the client named', async (t) => {
  const front = await withListener(t, { trustedProxies: 1 });
  t.is(await toldAddress(front, { 'x-forwarded-for': '203.0.113.7' }), '203.0.113.7');
  t.is(await toldAddress(front, { 'x-forwarded-for': '198.51.100.1, 203.0.113.7' }), '203.0.113.7');
});

test('nor does a client name itself past a trusted proxy', async (t) => {
  const front = await withListener(t, { trustedProxies: 1 });
  t.is(
    await toldAddress(front, {
      'x-forwarded-for': '203.0.113.7',
      [CLIENT_ADDRESS_HEADER]: '198.51.100.1',
    }),
    '203.0.113.7',
  );
});

test('a load balancer may say who the client is by the PROXY protocol, and nobody is served without', async (t) => {
  const front = await withListener(t, { proxyProtocol: true });
  const preface = 'PROXY TCP4 203.0.113.9 192.0.2.1 5000 15002\r\n';
  t.is(await toldAddress(front, {}, preface), '203.0.113.9');
  t.is(await toldAddress(front, { 'x-forwarded-for': '198.51.100.1' }, preface), '203.0.113.9');
  const asked = front.authz.requests.length;
  await t.throwsAsync(toldAddress(front, {}));
  t.is(front.authz.requests.length, asked);
});
