import { create } from '@bufbuild/protobuf';
import {
  Client,
  credentials,
  type handleClientStreamingCall,
  type sendUnaryData,
  Server,
  type ServerDuplexStream,
  type ServerUnaryCall,
} from '@grpc/grpc-js';
import test, { type ExecutionContext } from 'ava';
import {
  StreamAccessLogsMessageSchema,
  StreamAccessLogsResponseSchema,
  AccessLogService,
  type StreamAccessLogsMessage,
  type StreamAccessLogsResponse,
} from '#gen/envoy/service/accesslog/v3/als_pb.js';
import {
  AssignmentService,
  AssignResponseSchema,
  FollowResponseSchema,
  type AssignRequest,
  type AssignResponse,
  type FollowRequest,
  type FollowResponse,
} from '#gen/spark_gateway/v1/assignments_pb.js';
import { Forwarder } from '../../../src/lib/grpc/forward.js';
import { OpenCalls } from '../../../src/lib/grpc/port.js';
import { methodDefinition, serviceDefinition } from '../../../src/lib/grpc/channels.js';
import { toServiceError } from '../../../src/lib/grpc/status-details.js';
import { GatewayError } from '../../../src/model/errors.js';
import { AssignmentClient, listen } from '../../support/assignment-client.js';
import { Signal } from '../../support/signal.js';
import { unusedAddress } from '../../support/loopback.js';

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
