import { once } from 'node:events';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import {
  AccessLogService,
  type StreamAccessLogsMessage,
  StreamAccessLogsMessageSchema,
  type StreamAccessLogsResponse,
  StreamAccessLogsResponseSchema,
} from '#gen/envoy/service/accesslog/v3/als_pb.js';
import {
  AssignmentService,
  type AssignRequest,
  type AssignResponse,
  AssignResponseSchema,
  type FollowRequest,
  type FollowResponse,
  FollowResponseSchema,
} from '#gen/spark_gateway/v1/assignments_pb.js';
import { create } from '@bufbuild/protobuf';
import {
  Client,
  credentials,
  type handleClientStreamingCall,
  Metadata,
  type sendUnaryData,
  Server,
  ServerCredentials,
  type ServerDuplexStream,
  type ServerUnaryCall,
  type ServiceError,
} from '@grpc/grpc-js';
import test, { type ExecutionContext } from 'ava';
import {
  channelOptions,
  methodDefinition,
  serviceDefinition,
} from '../../../src/lib/grpc/channels.js';
import { Forwarder } from '../../../src/lib/grpc/forward.js';
import { OpenCalls } from '../../../src/lib/grpc/port.js';
import { fromServiceError, toServiceError } from '../../../src/lib/grpc/status-details.js';
import { errorCodes, GatewayError } from '../../../src/model/errors.js';
import { AssignmentClient, listen } from '../../support/assignment-client.js';
import { unusedAddress } from '../../support/loopback.js';
import { Signal } from '../../support/signal.js';

// Calls that are passed on.

const ADDRESS = await unusedAddress();
const nobody = () =>
  new GatewayError('CONTROL_PLANE_UNAVAILABLE', 'Nobody leads.', { retryAfterMs: 2000 });

type Follow = ServerDuplexStream<FollowRequest, FollowResponse>;

/** A server that answers, and one before it that passes on. */
async function setUp(t: ExecutionContext) {
  const follows = new Signal<Follow>();
  const assigns = new Signal<ServerUnaryCall<AssignRequest, AssignResponse>>();
  const cancelled = new Signal<string>();
  const behind = new Server();
  behind.addService(serviceDefinition(AssignmentService), {
    assign(
      call: ServerUnaryCall<AssignRequest, AssignResponse>,
      callback: sendUnaryData<AssignResponse>,
    ) {
      assigns.emit(call);
      call.on('cancelled', () => cancelled.emit(call.request.sessionId));
      const { sessionId } = call.request;
      if (sessionId === 'refused') {
        const refusal = new GatewayError('POOL_EXHAUSTED', 'All taken.', { retryAfterMs: 10_000 });
        callback(toServiceError(refusal));
      } else if (sessionId !== 'held') {
        callback(null, create(AssignResponseSchema, { assignment: { sessionId } }));
      }
    },
    follow: (call: Follow) => follows.emit(call),
  });
  const behindAddress = await listen(behind, ADDRESS);

  const open = new OpenCalls();
  const front = new Server({ interceptors: [open.interceptor] });
  const forwarder = new Forwarder({
    credentials: credentials.createInsecure(),
    unavailable: nobody,
  });
  forwarder.addServices(front, [AssignmentService, AccessLogService]);
  const frontAddress = await listen(front, ADDRESS);
  forwarder.setTarget(behindAddress);
  const client = new AssignmentClient(frontAddress);
  t.teardown(() => {
    client.close();
    forwarder.close();
    front.forceShutdown();
    behind.forceShutdown();
  });
  return {
    behind,
    behindAddress,
    frontAddress,
    open,
    forwarder,
    client,
    follows,
    assigns,
    cancelled,
  };
}

test('a call and its answer are passed on, with the time that is left', async (t) => {
  const { client, assigns } = await setUp(t);
  t.like(await client.assign({ sessionId: 'one' }), { sessionId: 'one' });
  const leftMs = Number((await assigns.next()).getDeadline()) - Date.now();
  t.true(leftMs > 20_000 && leftMs <= 30_000);
});

test('a refusal comes back as it was given', async (t) => {
  const { client } = await setUp(t);
  await t.throwsAsync(client.assign({ sessionId: 'refused' }), {
    code: 'POOL_EXHAUSTED',
    message: 'All taken.',
    instanceOf: GatewayError,
  });
});

test('messages of a stream go both ways in their order, and its end after them', async (t) => {
  const { client, follows } = await setUp(t);
  const stream = client.follow();
  const count = 500;
  for (let n = 1; n <= count; n += 1) stream.send({ report: BigInt(n) });
  const call = await follows.next();
  const received: bigint[] = [];
  call.on('data', ({ report }: FollowRequest) => {
    received.push(report);
    call.write(create(FollowResponseSchema, { acknowledgedReport: report }));
    if (received.length === count) call.end();
  });
  for (let n = 1; n <= count; n += 1) {
    t.is((await stream.next()).acknowledgedReport, BigInt(n));
  }
  t.is(await stream.ended, undefined);
  t.is(received.length, count);
});

test("a client's stream with one answer is passed on", async (t) => {
  const { behind, frontAddress } = await setUp(t);
  const received: string[] = [];
  const logs: handleClientStreamingCall<StreamAccessLogsMessage, StreamAccessLogsResponse> = (
    call,
    callback,
  ) => {
    call.on('data', (message: StreamAccessLogsMessage) =>
      received.push(message.identifier?.logName ?? ''),
    );
    call.on('end', () => callback(null, create(StreamAccessLogsResponseSchema)));
  };
  behind.addService(serviceDefinition(AccessLogService), { streamAccessLogs: logs });
  const client = new Client(frontAddress, credentials.createInsecure());
  t.teardown(() => client.close());
  const { path, requestSerialize, responseDeserialize } = methodDefinition(
    AccessLogService.method.streamAccessLogs,
  );
  await new Promise<void>((resolve, reject) => {
    const call = client.makeClientStreamRequest(
      path,
      requestSerialize,
      responseDeserialize,
      (error) => (error ? reject(error) : resolve()),
    );
    for (const logName of ['a', 'b']) {
      call.write(create(StreamAccessLogsMessageSchema, { identifier: { logName } }));
    }
    call.end();
  });
  t.deepEqual(received, ['a', 'b']);
});

test('a caller that goes away is not waited for', async (t) => {
  const { client, assigns, cancelled, follows } = await setUp(t);
  const abort = new AbortController();
  const held = client.assign({ sessionId: 'held' }, { signal: abort.signal });
  const stream = client.follow();
  stream.send({ report: 1n });
  const call = await follows.next();
  const ended = new Promise((resolve) => call.on('cancelled', resolve));
  await assigns.next();
  abort.abort();
  stream.cancel();
  t.is(await cancelled.next(), 'held');
  await ended;
  await t.throwsAsync(held);
});

test('while nobody leads callers are told to come back', async (t) => {
  const { client, forwarder } = await setUp(t);
  forwarder.setTarget(undefined);
  const error = await t.throwsAsync(client.assign({ sessionId: 'one' }), {
    code: 'CONTROL_PLANE_UNAVAILABLE',
  });
  t.is((error as GatewayError).retryAfterMs, 2000);
});

test('a leader that cannot be reached is nobody', async (t) => {
  const { client, forwarder, behind } = await setUp(t);
  behind.forceShutdown();
  forwarder.setTarget(`${ADDRESS}:1`);
  const error = await t.throwsAsync(client.assign({ sessionId: 'one' }), {
    code: 'CONTROL_PLANE_UNAVAILABLE',
    message: 'Nobody leads.',
  });
  t.is((error as GatewayError).retryAfterMs, 2000);
});

test('two that take each other for the leader pass nothing round in circles', async (t) => {
  const { client, forwarder, frontAddress } = await setUp(t);
  forwarder.setTarget(frontAddress);
  await t.throwsAsync(client.assign({ sessionId: 'one' }), { code: 'CONTROL_PLANE_UNAVAILABLE' });
});

test('ending the open calls ends what was passed on, at both ends, and no later call', async (t) => {
  const { client, open, assigns, cancelled, follows } = await setUp(t);
  const held = client.assign({ sessionId: 'held' });
  const stream = client.follow();
  stream.send({ report: 1n });
  const call = await follows.next();
  const ended = new Promise((resolve) => call.on('cancelled', resolve));
  await assigns.next();
  open.endAll(nobody());
  await t.throwsAsync(held, { code: 'CONTROL_PLANE_UNAVAILABLE', message: 'Nobody leads.' });
  t.is((await stream.ended)?.code, 14);
  t.is(await cancelled.next(), 'held');
  await ended;
  t.like(await client.assign({ sessionId: 'one' }), { sessionId: 'one' });
});

// Proxies of the environment.

const PATH = '/a.Service/Echo';
const proxyNames = ['http_proxy', 'https_proxy', 'grpc_proxy'];
const same = (value: Buffer) => value;

test.serial('the gateway’s processes ask each other past a proxy of the environment', async (t) => {
  const asked: string[] = [];
  const proxy = createServer();
  proxy.on('connect', (request, socket) => {
    asked.push(request.url ?? '');
    socket.end('HTTP/1.1 403 Forbidden\r\n\r\n');
  });
  proxy.listen(0, '127.0.0.1');
  await once(proxy, 'listening');
  const proxyUrl = `http://127.0.0.1:${(proxy.address() as AddressInfo).port}`;
  const before = { ...process.env };
  t.teardown(() => {
    for (const name of proxyNames) delete process.env[name];
    Object.assign(process.env, before);
  });
  for (const name of proxyNames) process.env[name] = proxyUrl;
  for (const name of ['no_proxy', 'no_grpc_proxy', 'NO_PROXY']) delete process.env[name];

  const server = new Server();
  server.addService(
    {
      echo: {
        path: PATH,
        requestStream: false,
        responseStream: false,
        requestSerialize: same,
        requestDeserialize: same,
        responseSerialize: same,
        responseDeserialize: same,
      },
    },
    {
      echo: (call: { readonly request: Buffer }, callback: (error: null, value: Buffer) => void) =>
        callback(null, call.request),
    },
  );
  const port = await new Promise<number>((resolve, reject) => {
    server.bindAsync('127.0.0.1:0', ServerCredentials.createInsecure(), (error, bound) =>
      error ? reject(error) : resolve(bound),
    );
  });
  for (const pace of ['steady', 'quick'] as const) {
    const options = channelOptions(pace, undefined);
    const client = new Client(`127.0.0.1:${port}`, credentials.createInsecure(), options);
    const answer = await new Promise<Buffer | undefined>((resolve, reject) => {
      client.makeUnaryRequest(PATH, same, same, Buffer.from(pace), (error, value) =>
        error ? reject(error) : resolve(value),
      );
    });
    t.is(answer?.toString(), pace);
    client.close();
  }
  t.deepEqual(asked, []);
  server.forceShutdown();
  proxy.close();
});

// Details of a status.

function overTheWire(error: unknown): GatewayError {
  const sent = toServiceError(error);
  return fromServiceError({
    name: 'Error',
    message: '',
    code: sent.code,
    details: sent.details ?? '',
    metadata: sent.metadata ?? new Metadata(),
  });
}

for (const code of errorCodes) {
  test(`${code} keeps its code, status and message over gRPC`, (t) => {
    const received = overTheWire(new GatewayError(code, 'what to do', { retryAfterMs: 1500 }));
    t.is(received.code, code);
    t.is(received.message, 'what to do');
    t.is(received.retryAfterMs, 1500);
  });
}

test('an error that is not ours does not show its text to the caller', (t) => {
  const received = overTheWire(new Error('password=hunter2'));
  t.is(received.code, 'INTERNAL');
  t.notRegex(received.message, /hunter2/);
});

test('a transport failure is doubt: UNAVAILABLE with a time to come back', (t) => {
  const failure: ServiceError = {
    name: 'Error',
    message: '14 UNAVAILABLE: No connection established',
    code: 14,
    details: 'No connection established',
    metadata: new Metadata(),
  };
  t.is(fromServiceError(failure).code, 'CONTROL_PLANE_UNAVAILABLE');
  t.true((fromServiceError(failure).retryAfterMs ?? 0) > 0);
});

test('a time to come back that has a fraction is told in whole milliseconds', (t) => {
  const error = new GatewayError('DRIVER_STARTING', 'soon', { retryAfterMs: 1999.7 });
  t.is(overTheWire(error).retryAfterMs, 2000);
});

test('details that cannot be read are passed over', (t) => {
  const metadata = new Metadata();
  metadata.set('grpc-status-details-bin', Buffer.from([0x0a, 0xff]));
  const failure = { name: 'Error', message: '', code: 14, details: '', metadata };
  t.is(fromServiceError(failure).code, 'CONTROL_PLANE_UNAVAILABLE');
});

test('each problem of a refusal arrives with its place', (t) => {
  const problems = [
    { line: 3, column: 7, path: 'spec.engine.version', message: '"9" is not 3.5 or 4.1' },
    { path: '', message: 'the manifest is empty' },
  ];
  const error = new GatewayError('MANIFEST_INVALID', 'The manifest has 2 mistakes.', { problems });
  t.deepEqual(overTheWire(error).problems, problems);
});

test('of very many problems the first ones arrive, in as much as the headers of a client hold', (t) => {
  const problems = Array.from({ length: 5_000 }, (_, at) => ({
    line: at + 1,
    column: 1,
    path: `spec.coreEtl.transforms[${at}]`,
    message: 'x'.repeat(100),
  }));
  const error = new GatewayError('MANIFEST_INVALID', 'm'.repeat(2_000), { problems });
  const received = overTheWire(error).problems;
  t.deepEqual(received, problems.slice(0, received.length));
  t.true(received.length > 10);
  const { metadata } = toServiceError(error);
  const [bytes] = metadata?.get('grpc-status-details-bin') ?? [];
  t.true(bytes instanceof Buffer && bytes.toString('base64').length < 6_500);
});

test('one problem that is too long is cut rather than left out', (t) => {
  const problems = [{ line: 1, column: 1, path: 'x', message: 'y'.repeat(10_000) }];
  const [received] = overTheWire(new GatewayError('MANIFEST_INVALID', 'm', { problems })).problems;
  t.regex(received?.message ?? '', /^y{100,1000}/);
});
