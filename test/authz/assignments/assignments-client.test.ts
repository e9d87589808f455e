import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import anyTest, { type TestFn } from 'ava';
import { credentials } from '@grpc/grpc-js';
import pino from 'pino';
import { AssignmentsClient } from '../../../src/authz/assignments/assignments-client.js';
import { clientCredentials, serverCredentials } from '../../../src/lib/grpc/tls.js';
import type { AssignRequest } from '../../../src/model/assignment.js';
import { GatewayError } from '../../../src/model/errors.js';
import type { SidecarPolicy } from '../../../src/model/reports.js';
import { TestAuthority } from '../../support/certificates.js';
import { NEW_SESSION, SESSION } from '../../support/check-client.js';
import { settle } from '../../support/manual-clock.js';
import {
  ScriptedControlPlane,
  type FollowStream,
  type Told,
} from '../../support/scripted-control-plane.js';
import { Signal } from '../../support/signal.js';
import { WatchedClock } from '../../support/watched-clock.js';
import { unusedAddress } from '../../support/loopback.js';

const LEASE_MS = 60_000;
const REPORT_INTERVAL_MS = 5_000;

interface Context {
  clock: WatchedClock;
  plane: ScriptedControlPlane;
  client: AssignmentsClient;
  cache: { hit: number; miss: number };
}
const test = anyTest as TestFn<Context>;

function clientOf(
  context: Omit<Context, 'client' | 'plane'>,
  addresses: readonly string[],
  policy?: () => SidecarPolicy,
) {
  return new AssignmentsClient({
    addresses,
    ...(policy ? { policy } : {}),
    credentials: credentials.createInsecure(),
    clock: context.clock,
    logger: pino({ level: 'silent' }),
    onCache: (result) => context.cache[result]++,
    random: () => 0,
  });
}

test.beforeEach(async (t) => {
  const plane = await ScriptedControlPlane.start();
  const common = { clock: new WatchedClock(), cache: { hit: 0, miss: 0 } };
  t.context = { ...common, plane, client: clientOf(common, [plane.address]) };
});
test.afterEach.always(async (t) => {
  t.context.plane.stop();
  await t.context.client.close(0);
});

function request(changes: Partial<AssignRequest> = {}): AssignRequest {
  return {
    sessionId: SESSION,
    principal: { issuer: 'https://issuer.example', subject: 'ann' },
    userId: 'ann',
    team: 'data',
    environment: 'prod',
    namespace: 'sjns-data-prod',
    mayCreate: true,
    holdMs: 60_000,
    method: 'ExecutePlan',
    ...changes,
  };
}

const never = new AbortController().signal;

/** Begins to follow; resolves when the lease is held. */
async function lease({ client, plane }: Context): Promise<FollowStream> {
  client.start();
  const stream = await plane.follows.next();
  const { report } = await stream.next();
  await stream.apply({ acknowledgedReport: report });
  return stream;
}

/** For longer than a lease lasts that is not renewed. */
async function keepLease({ clock }: Pick<Context, 'clock'>, stream: FollowStream): Promise<void> {
  for (let i = 0; i < 2 * (LEASE_MS / REPORT_INTERVAL_MS); i++) {
    await clock.advance(REPORT_INTERVAL_MS);
    await stream.apply({ acknowledgedReport: (await stream.next()).report });
  }
}

async function assigned({ client, plane }: Context, changes: Partial<AssignRequest> = {}) {
  const answer = client.assign(request(changes), never);
  (await plane.asked.next()).answer();
  return answer;
}

test('a control plane may have a certificate of another name than its address, where settings name it', async (t) => {
  const folder = await mkdtemp(join(tmpdir(), 'assignments-'));
  t.teardown(() => rm(folder, { recursive: true }));
  const authority = new TestAuthority();
  const names = { commonName: 'plane', dnsNames: ['plane.internal'] };
  const plane = await ScriptedControlPlane.start(
    `${await unusedAddress()}:0`,
    serverCredentials(authority.writeFiles(folder, 'plane', names)),
  );
  const client = new AssignmentsClient({
    addresses: [plane.address],
    credentials: clientCredentials(authority.writeFiles(folder, 'authz', { commonName: 'authz' })),
    serverName: 'plane.internal',
    clock: t.context.clock,
    logger: pino({ level: 'silent' }),
  });
  t.teardown(async () => {
    plane.stop();
    await client.close(0);
  });
  t.like(await assigned({ ...t.context, client, plane }), { driverUid: 'driver-1' });
});

test('the whole question reaches the control plane, and the whole answer comes back', async (t) => {
  const { client, plane } = t.context;
  const answer = client.assign(request({ sessionId: NEW_SESSION, cloneOf: SESSION }), never);
  const asked = await plane.asked.next();
  t.like(asked.request, {
    sessionId: NEW_SESSION,
    userId: 'ann',
    team: 'data',
    environment: 'prod',
    namespace: 'sjns-data-prod',
    mayCreate: true,
    holdMs: 60_000,
    cloneOf: SESSION,
    method: 'ExecutePlan',
  });
  asked.answer();
  t.deepEqual(await answer, {
    sessionId: NEW_SESSION,
    principal: { issuer: 'https://issuer.example', subject: 'ann' },
    userId: 'ann',
    driverUid: 'driver-1',
    cluster: 'spark/sjns-data-prod',
    address: '192.0.2.9:15002',
    driverToken: 'secret',
    team: 'data',
    environment: 'prod',
    namespace: 'sjns-data-prod',
    cacheTtlMs: LEASE_MS,
  });
});

test('a session is asked for once while the lease is renewed, however long', async (t) => {
  const stream = await lease(t.context);
  const { client, clock, cache } = t.context;
  const first = await assigned(t.context);
  for (let i = 0; i < 20; i++) {
    await clock.advance(REPORT_INTERVAL_MS);
    await stream.apply({ acknowledgedReport: (await stream.next()).report });
    t.is(await client.assign(request(), never), first);
  }
  t.deepEqual(cache, { hit: 20, miss: 1 });
});

test('without a lease nothing is remembered', async (t) => {
  const { client, plane } = t.context;
  client.start();
  await (await plane.follows.next()).next();
  await assigned(t.context);
  await assigned(t.context);
  t.deepEqual(t.context.cache, { hit: 0, miss: 2 });
});

test('what is remembered ends with the lease and is not used after a new one', async (t) => {
  const stream = await lease(t.context);
  await assigned(t.context);
  const { clock } = t.context;
  await clock.advance(LEASE_MS - 1);
  t.is(t.context.cache.hit, 0);
  await t.context.client.assign(request(), never);
  t.is(t.context.cache.hit, 1);
  await clock.advance(1);
  await assigned(t.context);
  t.is(t.context.cache.hit, 1);
  stream.end();
});

test('what is remembered serves its own principal in its own namespace only', async (t) => {
  await lease(t.context);
  await assigned(t.context);
  const { client, plane } = t.context;
  for (const changes of [
    { principal: { issuer: 'https://issuer.example', subject: 'mallory' } },
    { principal: { issuer: 'https://other.example', subject: 'ann' } },
    { namespace: 'sjns-data-test' },
  ]) {
    const answer = client.assign(request(changes), never);
    (await plane.asked.next()).refuse(new GatewayError('SESSION_OF_ANOTHER', 'not yours'));
    const error = await t.throwsAsync(answer, { instanceOf: GatewayError });
    t.is(error.code, 'SESSION_OF_ANOTHER');
  }
  await client.assign(request(), never);
  t.is(t.context.cache.hit, 1);
});

test('a hundred first requests of one session ask once', async (t) => {
  const { client, plane } = t.context;
  const answers = Array.from({ length: 100 }, () =>
    client.assign(request(), new AbortController().signal),
  );
  const asked = await plane.asked.next();
  asked.answer();
  const all = await Promise.all(answers);
  t.true(all.every((one) => one === all[0]));
  t.is(plane.asked.waiting, 0);
});

test('a request that may start a session does not share the answer of one that may not', async (t) => {
  const { client, plane } = t.context;
  const may = client.assign(request(), never);
  const mayNot = client.assign(request({ mayCreate: false }), never);
  for (let i = 0; i < 2; i++) {
    const asked = await plane.asked.next();
    if (asked.request.mayCreate) asked.answer();
    else asked.refuse(new GatewayError('SESSION_UNKNOWN', 'no such session'));
  }
  t.truthy(await may);
  await t.throwsAsync(mayNot, { message: 'no such session' });
});

test('a request that is cancelled leaves the others waiting; the last one cancels the question', async (t) => {
  const { client, plane } = t.context;
  const [first, second] = [new AbortController(), new AbortController()];
  const one = client.assign(request(), first.signal);
  const two = client.assign(request(), second.signal);
  const asked = await plane.asked.next();
  first.abort(new GatewayError('SHUTTING_DOWN', 'restarting'));
  await t.throwsAsync(one, { message: 'restarting' });
  const state = await Promise.race([asked.cancelled.then(() => 'cancelled'), settle()]);
  t.is(state, undefined);
  second.abort(new Error('gone'));
  await t.throwsAsync(two, { message: 'gone' });
  await asked.cancelled;
  t.pass();
});

test('the end of a session, of a driver, and a reset drop what they concern and are confirmed', async (t) => {
  const stream = await lease(t.context);
  const { client } = t.context;
  const other = { sessionId: NEW_SESSION };
  const hits = async (changes: Partial<AssignRequest>) => {
    const before = t.context.cache.hit;
    await Promise.race([client.assign(request(changes), never), settle()]);
    return t.context.cache.hit > before;
  };
  await assigned(t.context);
  await assigned(t.context, other);
  await stream.apply({ endedSessions: [SESSION] });
  t.true(await hits(other));
  await assigned(t.context);
  await stream.apply({ endedDrivers: ['driver-1'] });
  t.deepEqual(t.context.cache, { hit: 1, miss: 3 });
  await assigned(t.context);
  await assigned(t.context, other);
  await stream.apply({ reset: true });
  await assigned(t.context);
  await assigned(t.context, other);
  t.deepEqual(t.context.cache, { hit: 1, miss: 7 });
});

test('an answer that the end of its driver has overtaken is not used but asked for again', async (t) => {
  const stream = await lease(t.context);
  const { client, plane } = t.context;
  const answer = client.assign(request(), never);
  const late = await plane.asked.next();
  await stream.apply({ endedDrivers: ['driver-1'] });
  late.answer('driver-1');
  (await plane.asked.next()).answer('driver-2');
  t.is((await answer).driverUid, 'driver-2');
  t.is((await client.assign(request(), never)).driverUid, 'driver-2');
});

test('the end of another driver overtakes nothing', async (t) => {
  const stream = await lease(t.context);
  const { client, plane } = t.context;
  const answer = client.assign(request(), never);
  const asked = await plane.asked.next();
  await stream.apply({ endedDrivers: ['driver-9'], endedSessions: [NEW_SESSION] });
  asked.answer('driver-1');
  await answer;
  await client.assign(request(), never);
  t.is(t.context.cache.hit, 1);
});

test('while the control plane is away, known sessions go on and new ones wait for it', async (t) => {
  await lease(t.context);
  await assigned(t.context);
  const { client, plane, clock } = t.context;
  plane.stop();
  t.truthy(await client.assign(request(), never));
  const waiting = client.assign(request({ sessionId: NEW_SESSION }), never);
  await clock.timer(100);
  const back = await ScriptedControlPlane.start(plane.address);
  // Each failed attempt pauses before the next; the connection itself comes back in its own time.
  const retrying = (async () => {
    for (;;) {
      await clock.advance(100);
      await settle();
      if (back.asked.waiting > 0) return;
    }
  })();
  const asked = await back.asked.next();
  asked.answer();
  t.is((await waiting).sessionId, NEW_SESSION);
  back.asked.emit(asked);
  await retrying;
  back.stop();
});

test('a control plane that does not lead is asked again until the hold is over', async (t) => {
  const { client, plane, clock } = t.context;
  const answer = client.assign(request({ holdMs: 1000 }), never);
  const refused = t.throwsAsync(answer, { instanceOf: GatewayError });
  let asked = 0;
  for (const pauseMs of [100, 200, 400]) {
    (await plane.asked.next()).refuse(
      new GatewayError('CONTROL_PLANE_UNAVAILABLE', 'not leading', { retryAfterMs: 500 }),
    );
    asked++;
    await clock.timer(pauseMs);
    await clock.advance(pauseMs);
  }
  (await plane.asked.next()).refuse(
    new GatewayError('CONTROL_PLANE_UNAVAILABLE', 'not leading', { retryAfterMs: 500 }),
  );
  const error = await refused;
  t.is(error?.code, 'CONTROL_PLANE_UNAVAILABLE');
  t.is(error?.retryAfterMs, 500);
  t.is(asked, 3);
});

test('of several control planes any will do', async (t) => {
  const dead = await ScriptedControlPlane.start();
  dead.stop();
  const client = clientOf(t.context, [dead.address, t.context.plane.address]);
  const answer = client.assign(request(), never);
  (await t.context.plane.asked.next()).answer();
  t.is((await answer).driverUid, 'driver-1');
  client.start();
  // The first attempt meets the dead one.
  await t.context.clock.timer(100);
  await t.context.clock.advance(100);
  t.truthy(await (await t.context.plane.follows.next()).next());
  t.context.plane.stop();
  await client.close();
});

test('activity is reported, and again after a broken stream until it is acknowledged', async (t) => {
  const { client, plane, clock } = t.context;
  client.start();
  const first = await plane.follows.next();
  const hello = await first.next();
  t.regex(hello.sidecarId, /^[0-9a-f-]{36}$/);
  client.activity([{ sessionId: SESSION, atMs: clock.now(), released: false }]);
  client.activity([{ sessionId: SESSION, atMs: clock.now() + 1000, released: false }]);
  await clock.advance(REPORT_INTERVAL_MS);
  const report = await first.next();
  t.deepEqual(
    report.activity.map(({ sessionId, ageMs, released }) => ({ sessionId, ageMs, released })),
    [{ sessionId: SESSION, ageMs: 4000, released: false }],
  );
  first.end();
  await clock.timer(100);
  await clock.advance(100);
  const second = await plane.follows.next();
  const again = await second.next();
  t.is(again.sidecarId, hello.sidecarId);
  t.true(again.report > report.report);
  t.like(again.activity[0], { sessionId: SESSION, ageMs: 4100 });
  const answered = await second.apply({ acknowledgedReport: again.report });
  t.deepEqual(answered.activity, []);
});

test('a release is reported without waiting for the next report', async (t) => {
  const stream = await lease(t.context);
  const { client, clock } = t.context;
  client.activity([{ sessionId: SESSION, atMs: clock.now(), released: true }]);
  await clock.advance(100);
  for (;;) {
    const [activity] = (await stream.next()).activity;
    if (!activity) continue;
    t.true(activity.released);
    break;
  }
});

test('a control plane that acknowledges nothing is left', async (t) => {
  const { client, plane, clock } = t.context;
  client.start();
  const stream = await plane.follows.next();
  await stream.next();
  for (let i = 0; i < 3; i++) await clock.advance(REPORT_INTERVAL_MS);
  await stream.ended;
  await clock.advance(100);
  t.truthy(await (await plane.follows.next()).next());
});

test('closing reports what is left and waits for it to be taken in', async (t) => {
  const stream = await lease(t.context);
  const { client, clock } = t.context;
  client.activity([{ sessionId: SESSION, atMs: clock.now(), released: false }]);
  const closed = client.close(2_000);
  for (;;) {
    const { activity, report } = await stream.next();
    stream.send({ acknowledgedReport: report });
    if (activity.length > 0) break;
  }
  await closed;
  await stream.ended;
  t.pass();
});

test('a control plane that does not answer is logged once, and that it answers again', async (t) => {
  const { clock, plane } = t.context;
  const lines = new Signal<{ msg: string; details?: string }>();
  const client = new AssignmentsClient({
    addresses: [plane.address],
    credentials: credentials.createInsecure(),
    clock,
    logger: pino({}, { write: (line: string) => lines.emit(JSON.parse(line)) }),
    random: () => 0,
  });
  t.teardown(() => client.close(0));
  await lease({ ...t.context, client });
  plane.stop();
  t.regex((await lines.next()).msg, /does not answer.*is it running/);
  const again = await ScriptedControlPlane.start(plane.address);
  t.teardown(() => again.stop());
  await clock.advance(100);
  const stream = await again.follows.next();
  const { report } = await stream.next();
  await stream.apply({ acknowledgedReport: report });
  t.is((await lines.next()).msg, 'the control plane answers again');
});

test('the lease is renewed whatever becomes of what people are shown', async (t) => {
  const { clock, cache, plane } = t.context;
  let broken = false;
  const logged: string[] = [];
  const client = new AssignmentsClient({
    addresses: [plane.address],
    credentials: credentials.createInsecure(),
    clock,
    logger: pino({ level: 'error' }, { write: (line) => void logged.push(line) }),
    onCache: (result) => cache[result]++,
    random: () => 0,
    policy: () => {
      if (broken) throw new TypeError('no policy can be told');
      return { version: 'v1', problem: undefined, shadow: undefined };
    },
  });
  t.teardown(async () => {
    plane.stop();
    await client.close(0);
  });
  const stream = await lease({ ...t.context, client });
  await assigned({ ...t.context, client });
  broken = true;
  const looked = clock.newTimer(REPORT_INTERVAL_MS);
  (await plane.told.next()).answer();
  await looked;
  await keepLease(t.context, stream);
  await client.assign(request(), never);
  t.deepEqual(cache, { hit: 1, miss: 1 });
  t.true(logged.some((line) => line.includes('no policy can be told')));
});

const badPlanes: Readonly<Record<string, (told: Told) => void>> = {
  'never answers': () => undefined,
  refuses: (told) => told.refuse(new GatewayError('INTERNAL', 'It cannot be read.')),
};
for (const [what, answer] of Object.entries(badPlanes)) {
  test(`the lease is renewed by a control plane that ${what} what people are shown`, async (t) => {
    const { clock, cache, plane } = t.context;
    const policy = { version: 'v1', problem: undefined, shadow: undefined };
    const client = clientOf({ clock, cache }, [plane.address], () => policy);
    t.teardown(async () => {
      plane.stop();
      await client.close(0);
    });
    const stream = await lease({ ...t.context, client });
    answer(await plane.told.next());
    await assigned({ ...t.context, client });
    await keepLease(t.context, stream);
    await client.assign(request(), never);
    t.deepEqual(cache, { hit: 1, miss: 1 });
  });
}

test('a control plane of an earlier release, which does not know the call, is followed all the same', async (t) => {
  const { clock, cache } = t.context;
  const plane = await ScriptedControlPlane.start(undefined, undefined, { knowsStatus: false });
  const policy = { version: 'v1', problem: undefined, shadow: undefined };
  const client = clientOf({ clock, cache }, [plane.address], () => policy);
  t.teardown(async () => {
    plane.stop();
    await client.close(0);
  });
  const stream = await lease({ ...t.context, plane, client });
  await assigned({ ...t.context, plane, client });
  await keepLease(t.context, stream);
  await client.assign(request(), never);
  t.deepEqual(cache, { hit: 1, miss: 1 });
});
