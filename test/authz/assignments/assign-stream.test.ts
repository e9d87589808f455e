/** What a sidecar asks a control plane on one stream, and what becomes of it when the stream does not hold. */
import { create } from '@bufbuild/protobuf';
import { Client, credentials } from '@grpc/grpc-js';
import test, { type ExecutionContext } from 'ava';
import { AssignRequestSchema } from '#gen/spark_gateway/v1/assignments_pb.js';
import { AssignStream } from '../../../src/authz/assignments/assign-stream.js';
import { GatewayError } from '../../../src/model/errors.js';
import { ManualClock } from '../../support/manual-clock.js';
import { ScriptedControlPlane } from '../../support/scripted-control-plane.js';

const TIMEOUT_MS = 30_000;

async function start(t: ExecutionContext, knows: { readonly knowsMany?: boolean } = {}) {
  const plane = await ScriptedControlPlane.start(undefined, undefined, knows);
  const client = new Client(plane.address, credentials.createInsecure());
  const clock = new ManualClock();
  const stream = new AssignStream(client, clock);
  t.teardown(() => {
    stream.close();
    client.close();
    plane.stop();
  });
  const ask = (
    sessionId: string,
    { signal = new AbortController().signal, traceparent = undefined as string | undefined } = {},
  ) => {
    const message = create(AssignRequestSchema, { sessionId, namespace: 'sjns-data-dev' });
    return stream.ask(message, { timeoutMs: TIMEOUT_MS, signal, traceparent });
  };
  return { plane, client, clock, ask };
}

test('sessions share a stream, and each has its own answer, whatever their order', async (t) => {
  const { plane, ask } = await start(t);
  const answers = ['one', 'two', 'three'].map((session) => ask(session));
  const asked = [await plane.asked.next(), await plane.asked.next(), await plane.asked.next()];
  t.deepEqual(
    asked.map(({ how, request }) => [how, request.sessionId]),
    [
      ['stream', 'one'],
      ['stream', 'two'],
      ['stream', 'three'],
    ],
  );
  asked[2]?.answer('driver-3');
  t.is((await answers[2])?.driverUid, 'driver-3');
  asked[0]?.answer('driver-1');
  asked[1]?.refuse(new GatewayError('POOL_EXHAUSTED', 'No driver.', { retryAfterMs: 7_000 }));
  t.is((await answers[0])?.driverUid, 'driver-1');
  const refusal = await t.throwsAsync(answers[1] ?? Promise.resolve(), {
    instanceOf: GatewayError,
  });
  t.like(refusal, { code: 'POOL_EXHAUSTED', message: 'No driver.', retryAfterMs: 7_000 });
  t.is(plane.manyStreams, 1);
});

test('the trace goes along with each', async (t) => {
  const { plane, ask } = await start(t);
  const traceparent = `00-${'a'.repeat(32)}-${'b'.repeat(16)}-01`;
  const answers = [ask('traced', { traceparent }), ask('other')];
  const asked = [await plane.asked.next(), await plane.asked.next()];
  t.deepEqual(
    asked.map((one) => one.traceparent),
    [traceparent, ''],
  );
  for (const one of asked) one.answer();
  await Promise.all(answers);
});

test('who gives up is told so, and the control plane is; the others go on', async (t) => {
  const { plane, ask } = await start(t);
  const abort = new AbortController();
  const left = ask('left', { signal: abort.signal });
  const kept = ask('kept');
  const [first, second] = [await plane.asked.next(), await plane.asked.next()];
  abort.abort(new GatewayError('OPERATION_CANCELED', 'The client went away.'));
  t.is((await t.throwsAsync(left, { instanceOf: GatewayError })).code, 'OPERATION_CANCELED');
  await first.cancelled;
  // Too late for anybody.
  first.answer();
  second.answer();
  t.is((await kept)?.driverUid, 'driver-1');
  await t.throwsAsync(ask('never', { signal: abort.signal }), { instanceOf: GatewayError });
});

test('one that is not answered in time is given up, and another one can be asked for', async (t) => {
  const { clock, plane, ask } = await start(t);
  const slow = ask('slow');
  const asked = await plane.asked.next();
  const rejected = t.throwsAsync(slow, { instanceOf: GatewayError });
  await clock.advance(TIMEOUT_MS);
  t.like(await rejected, { code: 'CONTROL_PLANE_UNAVAILABLE', retryAfterMs: 2_000 });
  await asked.cancelled;
  const next = ask('next');
  (await plane.asked.next()).answer();
  t.is((await next)?.driverUid, 'driver-1');
});

test('a stream that is cut takes what was asked with it, and the next question makes a new one', async (t) => {
  const { plane, ask } = await start(t);
  const cut = [ask('one'), ask('two')];
  await plane.asked.next();
  const rejected = cut.map((answer) => t.throwsAsync(answer, { instanceOf: GatewayError }));
  plane.stop();
  for (const error of await Promise.all(rejected)) t.is(error.code, 'CONTROL_PLANE_UNAVAILABLE');
  const back = await ScriptedControlPlane.start(plane.address);
  t.teardown(() => back.stop());
  for (;;) {
    const again = ask('again').catch(() => undefined);
    const asked = await Promise.race([back.asked.next(), again]);
    // The connection was not back yet.
    if (asked === undefined || !('answer' in asked)) continue;
    asked.answer('driver-2');
    t.is((await again)?.driverUid, 'driver-2');
    return;
  }
});

test('a control plane of an earlier release is asked for each alone, and for a stream again a minute later', async (t) => {
  const { client, clock, plane, ask } = await start(t, { knowsMany: false });
  const answers = [ask('one'), ask('two')];
  for (const sessionId of ['one', 'two']) {
    const asked = await plane.asked.next();
    t.like(asked, { how: 'alone', request: { sessionId } });
    if (sessionId === 'one') asked.answer('driver-1');
    else asked.refuse(new GatewayError('SESSION_OF_ANOTHER', 'no'));
  }
  t.is((await answers[0])?.driverUid, 'driver-1');
  const refusal = await t.throwsAsync(answers[1] ?? Promise.resolve(), {
    instanceOf: GatewayError,
  });
  t.is(refusal.code, 'SESSION_OF_ANOTHER');
  const third = ask('three');
  const asked = await plane.asked.next();
  t.is(asked.how, 'alone');
  asked.answer();
  await third;

  plane.stop();
  const later = await ScriptedControlPlane.start(plane.address);
  t.teardown(() => later.stop());
  await new Promise<void>((resolve, reject) => {
    client.waitForReady(Date.now() + 20_000, (error) => (error ? reject(error) : resolve()));
  });
  await clock.advance(60_000);
  const fourth = ask('four');
  const onStream = await later.asked.next();
  t.is(onStream.how, 'stream');
  onStream.answer();
  t.is((await fourth)?.driverUid, 'driver-1');
});
