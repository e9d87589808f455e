import { once } from 'node:events';
import { rename, stat, writeFile } from 'node:fs/promises';
import { connect as connectHttp2, constants, type ClientHttp2Session } from 'node:http2';
import { connect, createServer } from 'node:net';
import anyTest, { type TestFn } from 'ava';
import pino from 'pino';
import { Http2Transport, type UnaryHandler } from '../../src/authz/http2-transport.js';
import { CHECK_PATH } from '../../src/authz/authz-server.js';
import { GatewayError } from '../../src/model/errors.js';
import { assignmentFor, AuthzGateway } from '../support/authz-gateway.js';
import { allowed, CheckClient, denied } from '../support/check-client.js';
import { ManualClock, settle } from '../support/manual-clock.js';
import { Signal } from '../support/signal.js';

const test = anyTest as TestFn<{ gateway: AuthzGateway }>;
test.beforeEach(async (t) => {
  t.context = { gateway: await AuthzGateway.start() };
});
test.afterEach.always((t) => t.context.gateway.close());

function idleTransport(): Http2Transport {
  return new Http2Transport({
    handlers: new Map(),
    clock: new ManualClock(),
    logger: pino({ level: 'silent' }),
    maxMessageBytes: 1000,
  });
}

interface RawAnswer {
  readonly httpStatus: number | undefined;
  readonly grpcStatus: string | undefined;
  readonly body: Buffer;
}

function session(gateway: AuthzGateway): ClientHttp2Session {
  return connectHttp2('http://authz', { createConnection: () => connect(gateway.socket) });
}

/** Sends bytes as the body of one call, with nothing of gRPC done for the caller. */
async function raw(
  client: ClientHttp2Session,
  path: string,
  body: Uint8Array,
  headers: Record<string, string> = {},
): Promise<RawAnswer> {
  const stream = client.request({
    ':method': 'POST',
    ':path': path,
    'content-type': 'application/grpc',
    te: 'trailers',
    ...headers,
  });
  let httpStatus: number | undefined;
  let grpcStatus: string | undefined;
  const chunks: Buffer[] = [];
  stream.on('response', (response) => {
    httpStatus = response[':status'];
    grpcStatus ??= response['grpc-status']?.toString();
  });
  stream.on('trailers', (trailers) => {
    grpcStatus ??= trailers['grpc-status']?.toString();
  });
  stream.on('data', (chunk: Buffer) => chunks.push(chunk));
  stream.on('error', () => undefined);
  stream.end(body);
  await once(stream, 'close');
  return { httpStatus, grpcStatus, body: Buffer.concat(chunks) };
}

test('bytes that are no gRPC message, or no CheckRequest, get a status and hurt nobody', async (t) => {
  const { gateway } = t.context;
  const client = session(gateway);
  const cases: [string, number[], string][] = [
    ['no message', [], '13'],
    ['half a header', [0, 0], '13'],
    ['a compressed message', [1, 0, 0, 0, 0], '12'],
    ['a message that is cut', [0, 0, 0, 0, 9, 1], '13'],
    ['two messages', [0, 0, 0, 0, 0, 0, 0, 0, 0, 0], '13'],
    ['no protobuf', [0, 0, 0, 0, 2, 0xff, 0xff], '3'],
  ];
  for (const [what, bytes, status] of cases) {
    const { grpcStatus } = await raw(client, CHECK_PATH, Buffer.from(bytes));
    t.is(grpcStatus, status, what);
  }
  t.is((await raw(client, CHECK_PATH, Buffer.alloc(300_000))).grpcStatus, '8');
  t.is((await raw(client, '/some.Other/Method', Buffer.alloc(5))).grpcStatus, '12');
  const bad = await raw(client, CHECK_PATH, Buffer.alloc(5), { 'grpc-timeout': 'soon' });
  t.is(bad.grpcStatus, '13');
  const html = await raw(client, CHECK_PATH, Buffer.alloc(0), { 'content-type': 'text/html' });
  t.is(html.httpStatus, 415);
  client.close();
  t.truthy(allowed(await gateway.client.check({ token: await gateway.token() })));
});

test('a connection that speaks no HTTP/2 hurts nobody', async (t) => {
  const { gateway } = t.context;
  const socket = connect(gateway.socket);
  socket.on('error', () => undefined);
  socket.write('GET / HTTP/1.1\r\n\r\n');
  socket.resume();
  await once(socket, 'close');
  t.truthy(allowed(await gateway.client.check({ token: await gateway.token() })));
});

test('health is served for the server and for the service, and not for others', async (t) => {
  const client = session(t.context.gateway);
  const path = '/grpc.health.v1.Health/Check';
  const ask = (service: string) =>
    raw(
      client,
      path,
      Buffer.concat([
        Buffer.from([0, 0, 0, 0, service.length + 2, 0x0a, service.length]),
        Buffer.from(service),
      ]),
    );
  const serving = Buffer.from([0, 0, 0, 0, 2, 0x08, 1]);
  t.deepEqual(await ask(''), { httpStatus: 200, grpcStatus: '0', body: serving });
  t.deepEqual((await ask('envoy.service.auth.v3.Authorization')).body, serving);
  t.is((await ask('spark.connect.SparkConnectService')).grpcStatus, '5');
  client.close();
});

test('a server that drains tells its connections to go', async (t) => {
  const { gateway } = t.context;
  const held = new Signal<() => void>();
  gateway.assign = (request) =>
    new Promise((resolve) => held.emit(() => resolve(assignmentFor(request))));
  const check = gateway.client.check({ token: await gateway.token() });
  const release = await held.next();
  const client = session(gateway);
  const path = '/grpc.health.v1.Health/Check';
  t.deepEqual((await raw(client, path, Buffer.alloc(5))).body, Buffer.from([0, 0, 0, 0, 2, 8, 1]));
  const goaway = once(client, 'goaway');
  const drained = gateway.drain();
  t.is((await goaway)[0], constants.NGHTTP2_NO_ERROR);
  release();
  t.truthy(allowed(await check));
  client.close();
  await drained;
});

test('whatever is no POST is refused', async (t) => {
  const client = session(t.context.gateway);
  const stream = client.request({ ':method': 'GET', ':path': CHECK_PATH });
  const [headers] = (await once(stream, 'response')) as [Record<string, unknown>];
  t.is(headers[':status'], 405);
  stream.resume();
  client.close();
});

test('a drain lets a check under way finish and takes no new one', async (t) => {
  const { gateway } = t.context;
  const held = new Signal<() => void>();
  gateway.assign = (request) =>
    new Promise((resolve) => held.emit(() => resolve(assignmentFor(request))));
  const check = gateway.client.check({ token: await gateway.token() });
  const release = await held.next();
  const drained = gateway.drain();
  await settle();
  const late = connect(gateway.socket);
  const [refused] = (await once(late, 'error')) as [NodeJS.ErrnoException];
  t.true(refused.code === 'ECONNREFUSED' || refused.code === 'ENOENT');
  release();
  t.truthy(allowed(await check));
  await drained;
});

test('a check that is held beyond the limit of a drain is answered UNAVAILABLE', async (t) => {
  const { gateway } = t.context;
  const held = new Signal<AbortSignal>();
  gateway.assign = (_, signal) =>
    new Promise((__, reject) => {
      signal.addEventListener('abort', () => reject(signal.reason as GatewayError));
      held.emit(signal);
    });
  const check = gateway.client.check({ token: await gateway.token() });
  await held.next();
  const drained = gateway.drain(5_000);
  await gateway.clock.advance(5_000);
  const refusal = denied(await check);
  t.is(refusal.code, 'SHUTTING_DOWN');
  t.is(refusal.grpcStatus, 14);
  t.true((refusal.retryAfterMs ?? 0) > 0);
  await drained;
});

test('a caller that goes away ends its check', async (t) => {
  const { gateway } = t.context;
  const held = new Signal<AbortSignal>();
  const ended = new Signal<void>();
  gateway.assign = (_, signal) =>
    new Promise((__, reject) => {
      signal.addEventListener('abort', () => {
        ended.emit();
        reject(new Error('nobody waits'));
      });
      held.emit(signal);
    });
  const { answer, cancel } = gateway.client.start({ token: await gateway.token() });
  await held.next();
  cancel();
  await t.throwsAsync(answer, { message: /CANCELLED/ });
  await ended.next();
  await settle();
  t.is(gateway.decisions[0]?.code, 'CANCELLED');
  t.false(gateway.logLines.some((line) => line.includes('nobody waits')));
});

test('a check whose deadline is over is ended and told so', async (t) => {
  const clock = new ManualClock();
  const started = new Signal<void>();
  const handler: UnaryHandler = (_, { signal }) =>
    new Promise((__, reject) => {
      signal.addEventListener('abort', () => reject(signal.reason as Error));
      started.emit();
    });
  const transport = new Http2Transport({
    handlers: new Map([['/a.Service/Method', handler]]),
    clock,
    logger: pino({ level: 'silent' }),
    maxMessageBytes: 1000,
  });
  const target = await transport.listen({ host: '127.0.0.1', port: 0 });
  const client = connectHttp2(`http://${target}`);
  const answer = raw(client, '/a.Service/Method', Buffer.alloc(5), { 'grpc-timeout': '2S' });
  await started.next();
  await clock.advance(2_000);
  t.is((await answer).grpcStatus, '4');
  client.close();
  await transport.drain(0);
});

test('a socket file that was left behind is replaced, with access for owner and group only', async (t) => {
  const { gateway } = t.context;
  gateway.client.close();
  await gateway.drain();
  // What a killed process leaves: a socket file on which nobody listens.
  const left = createServer();
  const path = `${gateway.socket}.left`;
  left.listen(path);
  await once(left, 'listening');
  await rename(path, gateway.socket);
  left.close();
  const transport = idleTransport();
  t.is(await transport.listen({ path: gateway.socket }), `unix:${gateway.socket}`);
  t.is((await stat(gateway.socket)).mode & 0o777, 0o660);
  await transport.drain(0);
});

test('a socket in use, another kind of file and an address beyond loopback are refused', async (t) => {
  const { gateway } = t.context;
  const file = `${gateway.socket}.txt`;
  await writeFile(file, 'precious');
  const cases = [
    [{ path: gateway.socket }, /Another process listens/],
    [{ path: file }, /not a socket/],
    [{ host: '0.0.0.0', port: 0 }, /loopback or a unix socket only/],
  ] as const;
  for (const [address, message] of cases) {
    const error = await t.throwsAsync(idleTransport().listen(address), {
      instanceOf: GatewayError,
    });
    t.is(error.code, 'SETTINGS_INVALID');
    t.regex(error.message, message);
  }
  t.truthy(allowed(await gateway.client.check({ token: await gateway.token() })));
});

test('checks are answered over loopback TCP as over a unix socket', async (t) => {
  const gateway = await AuthzGateway.start({}, { address: { host: '127.0.0.1', port: 0 } });
  t.regex(gateway.target, /^127\.0\.0\.1:\d+$/);
  const client = new CheckClient(gateway.target);
  t.truthy(allowed(await client.check({ token: await gateway.token() })));
  client.close();
  await gateway.close();
});

test('a check of a remembered session is answered like one that is asked for', async (t) => {
  const { gateway } = t.context;
  const token = await gateway.token();
  const asked = allowed(await gateway.client.check({ token }));
  gateway.remembered = assignmentFor;
  gateway.assign = () => Promise.reject(new Error('nobody is to be asked'));
  t.deepEqual(allowed(await gateway.client.check({ token })), asked);
  t.is(gateway.asked.length, 1);
  t.deepEqual(
    gateway.decisions.map(({ code, method }) => [code, method]),
    [
      ['OK', 'ExecutePlan'],
      ['OK', 'ExecutePlan'],
    ],
  );
  t.is(gateway.activity.length, 2);
});

test("a remembered session is its owner's only", async (t) => {
  const { gateway } = t.context;
  gateway.remembered = (request) =>
    assignmentFor({ ...request, principal: { ...request.principal, subject: 'someone else' } });
  t.is(
    denied(await gateway.client.check({ token: await gateway.token() })).code,
    'SESSION_OF_ANOTHER',
  );
});

test('a thousand checks can be held on one connection', async (t) => {
  const { gateway } = t.context;
  const held = new Signal<() => void>();
  gateway.assign = (request) =>
    new Promise((resolve) => held.emit(() => resolve(assignmentFor(request))));
  const token = await gateway.token();
  const checks = Array.from({ length: 1000 }, () => gateway.client.check({ token }));
  const releases = [];
  for (let i = 0; i < 1000; i++) releases.push(await held.next());
  for (const release of releases) release();
  for (const response of await Promise.all(checks)) allowed(response);
  t.is(gateway.activity.length, 1000);
});
