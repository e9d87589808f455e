import { setMaxListeners } from 'node:events';
import test from 'ava';
import { GatewayError } from '../../src/model/errors.js';
import type { LimitPolicy, RateLimit } from '../../src/model/policy.js';
import { QueryGate } from '../../src/queries/query-gate.js';
import { bob, driverRecord, sessionId } from '../support/driver-records.js';
import { ManualClock, settle } from '../support/manual-clock.js';
import { plainPolicy } from '../support/plain-policy.js';
import { limitPolicy } from '../support/queries.js';
import { sessionFixture, testPolicy } from '../support/session-fixture.js';

// Queries at a time.

const INTERVAL_MS = 30_000;
const HOLD_MS = 60_000;

function queryOf(requestId: string, namespace = 'sjns-data-prod') {
  return {
    requestId,
    sessionId: 'session-1',
    principal: { issuer: 'https://idp.test', subject: 'alice' },
    team: 'data',
    namespace,
  };
}

function setUp(fields: Partial<LimitPolicy> = { queriesPerSession: 1 }) {
  const clock = new ManualClock();
  const asksPolicy = (limits: LimitPolicy) =>
    plainPolicy({
      issuers: [],
      limits() {
        world.asked += 1;
        return limits;
      },
    });
  const world = {
    policy: plainPolicy({ issuers: [] }),
    /** How often the policy was asked for its limits. */
    asked: 0,
    setLimits(limits: Partial<LimitPolicy>) {
      world.policy = asksPolicy(limitPolicy(limits));
    },
  };
  world.setLimits(fields);
  const gate = new QueryGate({ policy: () => world.policy, clock, intervalMs: INTERVAL_MS });
  const log: string[] = [];
  const admit = (requestId: string, holdMs = HOLD_MS, signal = new AbortController().signal) =>
    gate.admit(queryOf(requestId), holdMs, signal).then(
      () => void log.push(`${requestId} runs`),
      (error: unknown) => {
        log.push(`${requestId} ${error instanceof GatewayError ? error.code : String(error)}`);
        return error;
      },
    );
  return { clock, world, gate, log, admit };
}

test('a query over the limit waits for the record of another’s end', async (t) => {
  const { gate, log, admit } = setUp();
  await admit('a');
  const waits = [admit('b'), admit('c')];
  await settle();
  t.deepEqual(log, ['a runs']);
  t.deepEqual([...gate.counts().waiting], [['sjns-data-prod', 2]]);
  t.deepEqual([...gate.counts().running], [['sjns-data-prod', 1]]);
  gate.ended('a', 20);
  await waits[0];
  gate.ended('b', 20);
  await waits[1];
  t.deepEqual(log, ['a runs', 'b runs', 'c runs']);
  t.is(gate.counts().waiting.size, 0);
});

test('after the hold it is refused with the limit, the time and what to do', async (t) => {
  const { clock, gate, admit } = setUp();
  await admit('a');
  const refused = admit('b');
  await settle();
  for (let ms = 0; ms < HOLD_MS; ms += 10_000) {
    gate.running(queryOf('a'), gate);
    await clock.advance(10_000);
  }
  const error = await refused;
  t.true(error instanceof GatewayError);
  const { code, status, message, retryAfterMs } = error as GatewayError;
  t.is(code, 'QUERY_LIMIT_EXCEEDED');
  t.is(status, 8);
  t.is(retryAfterMs, 2_000);
  t.is(
    message,
    'This session runs 1 query, as many as the policy allows at a time; yours has waited 60 s for its turn. Try again when one has ended, or end one with spark.interruptAll().',
  );
  t.is(gate.counts().waiting.size, 0);
});

test('whoever goes away while it waits leaves the line', async (t) => {
  const { gate, log, admit } = setUp();
  await admit('a');
  const gone = new AbortController();
  const left = admit('b', HOLD_MS, gone.signal);
  const stays = admit('c');
  await settle();
  gone.abort();
  await left;
  gate.ended('a', 0);
  await stays;
  t.deepEqual(log, ['a runs', 'b DRIVER_STARTING', 'c runs']);
});

test('a sidecar that lost its connection asks again, and its query keeps its place', async (t) => {
  const { gate, log, admit } = setUp();
  await admit('a');
  const broken = new AbortController();
  const first = admit('b', HOLD_MS, broken.signal);
  const again = admit('b');
  const behind = admit('c');
  broken.abort();
  await first;
  gate.ended('a', 0);
  await again;
  t.deepEqual(log.slice(1), ['b DRIVER_STARTING', 'b runs']);
  gate.ended('b', 0);
  await behind;
});

test('a query whose log has fallen silent holds nobody up for ever', async (t) => {
  const { clock, gate, admit } = setUp();
  await admit('a');
  const log = {};
  gate.running(queryOf('a'), log);
  gate.lost(log);
  const waits = admit('b');
  await clock.advance(INTERVAL_MS + 5_000);
  await waits;
  t.deepEqual([...gate.counts().running], [['sjns-data-prod', 1]]);
});

test('a limit that the policy raises is in force for those who wait', async (t) => {
  const { clock, world, admit } = setUp();
  await admit('a');
  const waits = admit('b');
  await clock.advance(2_000);
  world.setLimits({ queriesPerSession: 2 });
  await clock.advance(1_000);
  await waits;
  t.pass();
});

test('a limit that is raised is for those who wait first, then for who comes', async (t) => {
  const { world, log, admit } = setUp();
  await admit('a');
  const waits = admit('b');
  await settle();
  world.setLimits({ queriesPerSession: 2 });
  void admit('c');
  await waits;
  await settle();
  t.deepEqual(log, ['a runs', 'b runs']);
});

test('a query that Envoy ends while it waits keeps nobody waiting for its turn', async (t) => {
  const { gate, log, admit } = setUp();
  await admit('a');
  const ended = [admit('b'), admit('b')];
  const behind = admit('c');
  await settle();
  gate.ended('b', 10);
  await Promise.all(ended);
  gate.ended('a', 10);
  await behind;
  t.deepEqual(log, ['a runs', 'b DRIVER_STARTING', 'b DRIVER_STARTING', 'c runs']);
});

test('a query that runs already, as another sidecar let it in, counts once', async (t) => {
  const { clock, gate, log, admit } = setUp();
  await admit('a');
  const runs = admit('b');
  await settle();
  gate.running(queryOf('b'), gate);
  await clock.advance(1_000);
  await runs;
  const waits = admit('c');
  gate.ended('a', 0);
  gate.ended('b', 0);
  await waits;
  t.deepEqual(log, ['a runs', 'b runs', 'c runs']);
});

test('to ask for a turn costs the same however long the line is', async (t) => {
  const { world, gate, admit } = setUp();
  const gone = new AbortController();
  setMaxListeners(Infinity, gone.signal);
  await admit('a');
  const costOf = (requestId: string) => {
    const before = world.asked;
    const answered = admit(requestId, HOLD_MS, gone.signal);
    return { answered, asked: world.asked - before };
  };
  const first = costOf('first');
  const line = Array.from({ length: 100 }, (_, i) => admit(`waits-${i}`, HOLD_MS, gone.signal));
  const last = costOf('last');
  t.is(last.asked, first.asked);
  gone.abort();
  await Promise.all([first.answered, last.answered, ...line]);
  t.is(gate.counts().waiting.size, 0);
});

test('a query that is reattached counts and is never held', async (t) => {
  const { clock, gate, log, admit } = setUp();
  await admit('a');
  gate.resumed(queryOf('r'));
  t.deepEqual([...gate.counts().running], [['sjns-data-prod', 2]]);
  gate.ended('a', 120_000);
  const waits = admit('b');
  await clock.advance(1_000);
  t.deepEqual(log, ['a runs']);
  gate.ended('r', 120_000);
  await clock.advance(1_000);
  await waits;
});

test('when this replica leads no longer, those who wait are told to ask again', async (t) => {
  const { gate, log, admit } = setUp();
  await admit('a');
  const waits = admit('b');
  await settle();
  gate.close();
  await waits;
  t.deepEqual(log, ['a runs', 'b CONTROL_PLANE_UNAVAILABLE']);
});

test('a hold of nothing is refused at once', async (t) => {
  const { clock, log, admit } = setUp();
  await admit('a', 0);
  const refused = admit('b', 0);
  await clock.advance(0);
  await refused;
  t.deepEqual(log, ['a runs', 'b QUERY_LIMIT_EXCEEDED']);
});

test('a namespace with a very long line takes nobody more into it, others do', async (t) => {
  const { gate } = setUp();
  const gone = new AbortController();
  const ask = (requestId: string, namespace?: string) =>
    gate.admit(queryOf(requestId, namespace), HOLD_MS, gone.signal);
  await ask('a');
  setMaxListeners(Infinity, gone.signal);
  const line = Array.from({ length: 2_000 }, (_, i) => ask(`waits-${i}`));
  const error = await t.throwsAsync(ask('too-many'), { code: 'QUERY_LIMIT_EXCEEDED' });
  t.regex(error?.message ?? '', /2000 wait in sjns-data-prod already/);
  const elsewhere = ask('elsewhere', 'sjns-web-prod');
  await settle();
  t.is(gate.counts().waiting.get('sjns-web-prod'), 1);
  gone.abort();
  await Promise.allSettled([...line, elsewhere]);
  t.is(gate.counts().waiting.size, 0);
});

// Rates.

const NONE = { principal: undefined, team: undefined, namespace: undefined };

function limited(sessions: Partial<Record<keyof typeof NONE, RateLimit>>) {
  return {
    ...testPolicy({ sessionsPerDriver: 10 }),
    rateLimits: () => ({ sessions: { ...NONE, ...sessions }, requests: NONE }),
  };
}

test('a principal begins as many sessions in a time as the policy allows, and is told when to come back', async (t) => {
  const f = await sessionFixture(['d1', 'd2', 'd3'].map((uid) => driverRecord(uid)));
  f.world.policy = limited({ principal: { count: 2, perMs: 60_000 } });
  await f.assign(sessionId(1));
  await f.assign(sessionId(2));
  const error = await t.throwsAsync<GatewayError>(f.assign(sessionId(3)));
  t.like(error, { code: 'RATE_LIMITED', retryAfterMs: 30_000 });
  t.regex(error?.message ?? '', /allows you 2 new sessions in 60 s\. Try again in 30 s/);
  await f.assign(sessionId(1), { mayCreate: false });
  await f.assign(sessionId(4), { principal: bob });
  await f.clock.advance(30_000);
  await f.assign(sessionId(3));
});

test('a session that was told to come back for a driver is counted once', async (t) => {
  const f = await sessionFixture();
  f.world.policy = limited({ team: { count: 1, perMs: 3_600_000 } });
  const first = t.throwsAsync<GatewayError>(f.assign(sessionId(1), { holdMs: 1_000 }));
  await f.clock.advance(1_000);
  t.is((await first)?.code, 'DRIVER_STARTING');
  const again = f.assign(sessionId(1));
  await f.addDriver(driverRecord('d1'));
  t.is((await again).driverUid, 'd1');
  const other = await t.throwsAsync<GatewayError>(f.assign(sessionId(2), { principal: bob }));
  t.is(other?.code, 'RATE_LIMITED');
});

test('a clone is a new session', async (t) => {
  const f = await sessionFixture([driverRecord('d1')]);
  f.world.policy = limited({ namespace: { count: 1, perMs: 60_000 } });
  await f.assign(sessionId(1));
  const clone = f.assign(sessionId(2), { mayCreate: false, cloneOf: sessionId(1) });
  t.is((await t.throwsAsync<GatewayError>(clone))?.code, 'RATE_LIMITED');
});
