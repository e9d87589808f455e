import { credentials } from '@grpc/grpc-js';
import test, { type ExecutionContext } from 'ava';
import { pino } from 'pino';
import { AssignmentsClient } from '../../../src/authz/assignments/assignments-client.js';
import { SeenRequests } from '../../../src/authz/assignments/seen-requests.js';
import type { SeenRequest } from '../../../src/model/assignment.js';
import { GatewayError } from '../../../src/model/errors.js';
import type { SidecarPolicy } from '../../../src/model/reports.js';
import { ScriptedControlPlane } from '../../support/scripted-control-plane.js';
import { WatchedClock } from '../../support/watched-clock.js';

const ann = { principal: { issuer: 'https://issuer.example', subject: 'ann' }, claims: { n: 1 } };

function request(fields: Partial<SeenRequest> = {}): SeenRequest {
  const headers = { 'x-team': 'data' };
  return { sessionId: 's1', caller: ann, host: 'spark', headers, userId: 'ann', ...fields };
}

async function setUp(t: ExecutionContext, policy?: () => SidecarPolicy) {
  const plane = await ScriptedControlPlane.start();
  const clock = new WatchedClock();
  const client = new AssignmentsClient({
    addresses: [plane.address],
    credentials: credentials.createInsecure(),
    clock,
    logger: pino({ enabled: false }),
    random: () => 0,
    ...(policy ? { policy } : {}),
  });
  t.teardown(async () => {
    plane.stop();
    await client.close(0);
  });
  client.start();
  /** Has the control plane follow the sidecar. */
  const followed = async () => {
    const stream = await plane.follows.next();
    const { report } = await stream.next();
    stream.send({ acknowledgedReport: report });
    return stream;
  };
  return { plane, clock, client, followed };
}

test('who asks is told at the next look, and again to a control plane that comes anew', async (t) => {
  const { plane, clock, client, followed } = await setUp(t);
  client.seen(request());
  const stream = await followed();
  const first = await plane.told.next();
  t.is(first.request.seen.length, 1);
  const [told] = first.request.seen;
  t.like(told, { sessionId: 's1', claims: '{"n":1}', host: 'spark', userId: 'ann' });
  t.like(told?.principal, ann.principal);
  t.deepEqual({ ...told?.headers }, { 'x-team': 'data' });
  t.regex(first.request.sidecarId, /^[-0-9a-f]{36}$/);
  const looking = clock.newTimer(5_000);
  first.answer();
  await looking;
  client.seen(request());
  client.seen(request({ sessionId: 's2' }));
  await clock.advance(5_000);
  const second = await plane.told.next();
  t.deepEqual(
    second.request.seen.map(({ sessionId }) => sessionId),
    ['s2'],
    'only what is new',
  );

  const retry = clock.timer(100);
  stream.end();
  await retry;
  await clock.advance(100);
  await followed();
  t.is((await plane.told.next()).request.seen.length, 2);
});

test('what the control plane did not take in is told again', async (t) => {
  const policy = { version: 'v1', problem: undefined, shadow: undefined };
  const { plane, clock, client, followed } = await setUp(t, () => policy);
  client.seen(request());
  await followed();
  const first = await plane.told.next();
  t.like(first.request.policy, { version: 'v1' });
  const looking = clock.newTimer(5_000);
  first.refuse(new GatewayError('CONTROL_PLANE_UNAVAILABLE', 'Not here.'));
  await looking;
  await clock.advance(5_000);
  const again = await plane.told.next();
  t.is(again.request.seen.length, 1);
  t.like(again.request.policy, { version: 'v1' });
});

test('a new token, another host or other headers are told; the same again is not', (t) => {
  const seen = new SeenRequests();
  const tell = (fields: Partial<SeenRequest>) => {
    seen.seen(request(fields));
    return seen.next().length;
  };
  t.is(tell({}), 1);
  t.is(tell({ headers: { 'x-team': 'data' } }), 0);
  t.is(tell({ caller: { ...ann } }), 1);
  t.is(tell({ host: 'elsewhere' }), 1);
  t.is(tell({ headers: {} }), 1);
  t.is(tell({ headers: {}, sessionId: 's2' }), 1);
});

test('refused requests of one person count as one, however many places they try', (t) => {
  const seen = new SeenRequests();
  for (const team of ['a', 'b', 'c']) {
    seen.seen(request({ sessionId: undefined, headers: { 'x-team': team } }));
  }
  t.deepEqual(
    seen.next().map(({ headers }) => headers['x-team']),
    ['c'],
  );
});

test('many are told over several reports, and claims beyond any token not at all', (t) => {
  const seen = new SeenRequests();
  const large = { ...ann, claims: { text: 'x'.repeat(10_000) } };
  for (let n = 0; n < 100; n++) seen.seen(request({ sessionId: `s${n}`, caller: large }));
  const first = seen.next();
  t.true(first.length < 100);
  t.is(first.length + seen.next().length, 100);
  seen.tellAgain();
  t.is(seen.next().length, first.length);
  const huge = { ...ann, claims: { text: 'x'.repeat(100_000) } };
  const other = new SeenRequests();
  other.seen(request({ caller: huge }));
  t.deepEqual(other.next(), []);
});
