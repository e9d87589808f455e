import { credentials } from '@grpc/grpc-js';
import test, { type ExecutionContext } from 'ava';
import * as fc from 'fast-check';
import { pino } from 'pino';
import { ActivityReports } from '../../../src/authz/assignments/activity-reports.js';
import { type Asking, AssignmentCache } from '../../../src/authz/assignments/assignment-cache.js';
import { AssignmentsClient } from '../../../src/authz/assignments/assignments-client.js';
import { SeenRequests } from '../../../src/authz/assignments/seen-requests.js';
import type { RequestFacts } from '../../../src/authz/decision.js';
import { sparkMethod } from '../../../src/authz/request.js';
import { SessionDrivers } from '../../../src/authz/session-drivers.js';
import type { Assignment, SeenRequest } from '../../../src/model/assignment.js';
import { type Moment, momentOf } from '../../../src/model/clock.js';
import { GatewayError } from '../../../src/model/errors.js';
import type { SidecarPolicy } from '../../../src/model/reports.js';
import { assignmentFor, AuthzGateway } from '../../support/authz-gateway.js';
import { allowed, denied, SESSION } from '../../support/check-client.js';
import { ManualClock } from '../../support/manual-clock.js';
import { plainPolicy } from '../../support/plain-policy.js';
import { tries } from '../../support/tries.js';
import { ScriptedControlPlane } from '../../support/scripted-control-plane.js';
import { WatchedClock } from '../../support/watched-clock.js';

// Assignments that are remembered.

const LEASE_MS = 60_000;

function assignment(sessionId: string, driverUid: string): Assignment {
  return {
    sessionId,
    principal: { issuer: 'i', subject: 's' },
    driverUid,
    cluster: 'spark/n',
    address: '127.0.0.1:15002',
    driverToken: undefined,
    team: 't',
    environment: 'e',
    namespace: 'n',
    cacheTtlMs: LEASE_MS,
  };
}

const session = fc.constantFrom('s1', 's2', 's3');
const driver = fc.constantFrom('d1', 'd2');
const step = fc.oneof(
  fc.record({ kind: fc.constant('ask' as const), session, driver }),
  fc.record({ kind: fc.constant('answer' as const), index: fc.nat(5) }),
  fc.record({ kind: fc.constant('endSession' as const), session }),
  fc.record({ kind: fc.constant('endDriver' as const), driver }),
  fc.record({ kind: fc.constant('reset' as const) }),
  fc.record({ kind: fc.constant('send' as const) }),
  fc.record({ kind: fc.constant('acknowledge' as const) }),
  fc.record({ kind: fc.constant('wait' as const), ms: fc.constantFrom(1000, 30_000, 60_000) }),
);

test('no answer outlives a notice that concerns it, or the lease', async (t) => {
  await fc.assert(
    fc.asyncProperty(fc.array(step, { maxLength: 60 }), async (steps) => {
      const clock = new ManualClock();
      const cache = new AssignmentCache(clock);
      /** Questions under way: what they will be answered with, and when they were asked. */
      const asked: { asking: Asking; answer: Assignment; at: number }[] = [];
      let now = 0;
      /** When each session, driver or everything ended last, in steps. */
      const ended = new Map<string, number>();
      /** When what is remembered for a session was asked for, in steps. */
      const knownSince = new Map<string, number>();
      let sent: Moment | undefined;
      let leaseMs: number | undefined;
      for (const one of steps) {
        now++;
        switch (one.kind) {
          case 'ask':
            asked.push({
              asking: cache.begin(one.session),
              answer: assignment(one.session, one.driver),
              at: now,
            });
            break;
          case 'answer': {
            const [question] = asked.splice(one.index, 1);
            if (!question) break;
            const { asking, answer, at } = question;
            const accepted = cache.accept(asking, answer);
            cache.finish(asking);
            const over = Math.max(
              ended.get(answer.sessionId) ?? 0,
              ended.get(answer.driverUid) ?? 0,
              ended.get('all') ?? 0,
            );
            if (over > at) t.false(accepted);
            if (accepted) knownSince.set(answer.sessionId, at);
            break;
          }
          case 'endSession':
            ended.set(one.session, now);
            cache.end([one.session], []);
            break;
          case 'endDriver':
            ended.set(one.driver, now);
            cache.end([], [one.driver]);
            break;
          case 'reset':
            ended.set('all', now);
            cache.reset();
            break;
          case 'send':
            sent = momentOf(clock);
            break;
          case 'acknowledge':
            if (!sent) break;
            cache.renew(sent);
            leaseMs = sent.monotonicMs;
            break;
          case 'wait':
            await clock.advance(one.ms);
            break;
        }
        for (const sessionId of ['s1', 's2', 's3']) {
          const known = cache.get(sessionId);
          if (!known) continue;
          const since = knownSince.get(sessionId) ?? -1;
          t.true((ended.get(sessionId) ?? 0) <= since);
          t.true((ended.get(known.driverUid) ?? 0) <= since);
          t.true((ended.get('all') ?? 0) <= since);
          t.true(leaseMs !== undefined && clock.monotonic() < leaseMs + LEASE_MS);
        }
      }
    }),
    { numRuns: tries(100) },
  );
  // Whether a run asserts anything depends on what is drawn.
  t.pass();
});

test('a lease that lapsed is a new beginning', async (t) => {
  const clock = new ManualClock();
  const cache = new AssignmentCache(clock);
  cache.renew(momentOf(clock));
  const before = cache.begin('s1');
  t.true(cache.accept(cache.begin('s2'), assignment('s2', 'd1')));
  await clock.advance(LEASE_MS);
  cache.renew(momentOf(clock));
  t.is(cache.get('s2'), undefined);
  t.false(cache.accept(before, assignment('s1', 'd1')));
});

test('a wall clock that is set back does not prolong a lease, one that is set forward may end it', async (t) => {
  const clock = new ManualClock();
  const cache = new AssignmentCache(clock);
  cache.renew(momentOf(clock));
  cache.accept(cache.begin('s1'), assignment('s1', 'd1'));
  clock.jump(-LEASE_MS);
  await clock.advance(LEASE_MS - 1);
  t.not(cache.get('s1'), undefined);
  await clock.advance(1);
  t.is(cache.get('s1'), undefined);

  cache.renew(momentOf(clock));
  cache.accept(cache.begin('s1'), assignment('s1', 'd1'));
  clock.jump(LEASE_MS);
  t.is(cache.get('s1'), undefined);
});

// What is reported of sessions in use.

const at = (ms: number) => ({ wallMs: ms, monotonicMs: ms });
const RELEASE = { sessionId: 'a', atMs: 0, released: true };
const OTHER = { sessionId: 'b', atMs: 0, released: false };

test('a release that was taken in is told again to whoever leads next, for a minute', (t) => {
  const reports = new ActivityReports();
  reports.add(RELEASE);
  reports.add(OTHER);
  const first = reports.next(at(0));
  t.deepEqual(first.activity, [RELEASE, OTHER]);
  t.deepEqual(reports.acknowledge(first.report), at(0));

  reports.takeBack(at(59_000));
  const second = reports.next(at(59_000));
  t.deepEqual(second.activity, [RELEASE]);
  reports.acknowledge(second.report);

  reports.takeBack(at(120_000));
  t.deepEqual(reports.next(at(120_000)).activity, []);
});

test('what was not taken in is told again, however late', (t) => {
  const reports = new ActivityReports();
  reports.add(OTHER);
  reports.next(at(0));
  reports.takeBack(at(600_000));
  t.deepEqual(reports.next(at(600_000)).activity, [OTHER]);
});

// Requests that were seen before, and repeat one that is under way.

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

// What is kept of the requests that were seen.

test('a request is told as the policy saw it, with claims and without the token', async (t) => {
  const seen: SeenRequest[] = [];
  const gateway = await AuthzGateway.start({}, { seen: { seen: (asked) => seen.push(asked) } });
  t.teardown(() => gateway.close());
  const token = await gateway.token({ groups: ['data'], team: 'data' });
  allowed(await gateway.client.check({ token }));
  const [asked] = seen;
  t.is(asked?.sessionId, SESSION);
  t.like(asked?.caller.principal, { subject: 'ann@example.com' });
  t.like(asked?.caller.claims, { groups: ['data'], team: 'data' });
  t.deepEqual(asked?.headers, {
    'x-doordash-team': 'data',
    'x-doordash-environment': 'prod',
  });
  t.false(JSON.stringify(asked).includes(token.slice(-40)));
  t.false(gateway.logLines.some((line) => line.includes('"groups"')));
});

test('one that is refused is told as nobody’s session', async (t) => {
  const seen: SeenRequest[] = [];
  const gateway = await AuthzGateway.start({}, { seen: { seen: (asked) => seen.push(asked) } });
  t.teardown(() => gateway.close());
  const headers = { 'x-doordash-team': '', 'x-doordash-environment': '' };
  denied(await gateway.client.check({ token: await gateway.token(), headers }));
  t.is(seen.length, 1);
  t.is(seen[0]?.sessionId, undefined);
});

// Drivers of sessions.

test('what is remembered needs no signal, which costs as much as a whole check', (t) => {
  const method = sparkMethod('/spark.connect.SparkConnectService/Config');
  if (!method) throw new Error('there is no such method');
  const facts: RequestFacts = {
    method,
    token: undefined,
    peer: undefined,
    sourceAddress: '',
    host: 'localhost',
    headers: new Map(),
    request: {
      sessionId: 'session-1',
      userId: 'ann',
      newSessionId: undefined,
      allowReconnect: false,
      messageBytes: 100,
    },
    claimedUser: 'ann',
  };
  const principal = { issuer: 'https://issuer.example.com', subject: 'ann' };
  const drivers = new SessionDrivers({
    assign: () => Promise.reject(new Error('asked for')),
    remembered: assignmentFor,
  });
  const assigned = drivers.assign(
    facts,
    {
      authenticated: { caller: { principal, groups: [], claims: {} } },
      target: { team: 'data', environment: 'dev', namespace: 'sjns-data-dev' },
      policy: plainPolicy({ issuers: [] }),
    },
    {
      holdMs: 1000,
      traceparent: undefined,
      call: {
        get signal(): AbortSignal {
          throw new Error('a signal is made');
        },
      },
    },
  );
  t.like(assigned, { sessionId: 'session-1', driverUid: 'driver-1' });
});
