import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test from 'ava';
import * as fc from 'fast-check';
import { clientCredentials, serverCredentials } from '../../src/lib/grpc/tls.js';
import type { Query } from '../../src/model/assignment.js';
import type { LimitPolicy } from '../../src/model/policy.js';
import { QUERY_SCOPES, type QueryScope, QueryTable } from '../../src/queries/query-table.js';
import type { SessionStatus } from '../../src/sessions/expiry.js';
import { sparkConnectClient } from '../../src/sessions/spark-connect-client.js';
import { TestAuthority } from '../support/certificates.js';
import { sessionId as nthSession } from '../support/driver-records.js';
import { FakeSparkConnect } from '../support/fake-spark-connect.js';
import { limitPolicy } from '../support/queries.js';
import { tries } from '../support/tries.js';

// Queries.

const LAPSES = { unseenMs: 35_000, silentMs: 95_000, endedMs: 5_000 };
const LOG = {};

let next = 0;

function query(fields: Partial<Query> = {}): Query {
  next += 1;
  return {
    requestId: `request-${next}`,
    sessionId: 'session-1',
    principal: { issuer: 'https://idp.test', subject: 'alice' },
    team: 'data',
    namespace: 'sjns-data-prod',
    ...fields,
  };
}

const of = (subject: string, sessionId = `session of ${subject}`) => ({
  sessionId,
  principal: { issuer: 'https://idp.test', subject },
});

function tableOf(fields: Partial<LimitPolicy>, at: { nowMs: number } = { nowMs: 0 }) {
  const limits = limitPolicy(fields);
  const table = new QueryTable(() => limits, LAPSES);
  return {
    table,
    at,
    enter: (asked: Query) => table.enter(asked, at.nowMs),
    ended: ({ requestId }: Query, durationMs = 0) => table.ended(requestId, durationMs, at.nowMs),
    look: () => table.look(at.nowMs).map(({ requestId }) => requestId),
  };
}

test('what is over a limit waits in line until one ends', (t) => {
  const { enter, ended, look } = tableOf({ queriesPerSession: 1 });
  const [first, second, third] = [query(), query(), query()];
  t.true(enter(first));
  t.false(enter(second));
  t.false(enter(third));
  t.deepEqual(look(), []);
  ended(first);
  t.deepEqual(look(), [second.requestId]);
  ended(second);
  t.deepEqual(look(), [third.requestId]);
});

test('each limit counts what it is for', (t) => {
  const { enter } = tableOf({ queriesPerPrincipal: 2, queriesPerTeam: 3, queriesPerNamespace: 4 });
  t.true(enter(query(of('alice', 's1'))));
  t.true(enter(query(of('alice', 's2'))));
  t.false(enter(query(of('alice', 's3'))), 'a third of the principal');
  t.true(enter(query(of('bob'))));
  t.false(enter(query(of('carol'))), 'a fourth of the team');
  t.true(enter(query({ ...of('carol'), team: 'web' })));
  t.false(enter(query({ ...of('dave'), team: 'ads' })), 'a fifth in the namespace');
});

test('a principal at its own limit holds up nobody else of its team', (t) => {
  const { enter, ended, look } = tableOf({ queriesPerPrincipal: 1, queriesPerTeam: 2 });
  const alices = query(of('alice'));
  const bobs = query(of('bob'));
  enter(alices);
  enter(bobs);
  const [waits, carols] = [query(of('alice')), query(of('carol'))];
  t.false(enter(waits));
  t.false(enter(carols));
  ended(bobs);
  t.deepEqual(look(), [carols.requestId]);
  ended(alices);
  t.deepEqual(look(), [waits.requestId]);
});

test('one whose client has gone while it waited is not let in', (t) => {
  const { enter, ended, look } = tableOf({ queriesPerSession: 1 });
  const [first, gone, last] = [query(), query(), query()];
  enter(first);
  enter(gone);
  enter(last);
  ended(gone);
  ended(first);
  t.deepEqual(look(), [last.requestId]);
});

test('asked again with the same request it counts once, and after its end not at all', (t) => {
  const { enter, ended, table } = tableOf({ queriesPerSession: 1 });
  const asked = query();
  t.true(enter(asked));
  t.true(enter(asked));
  ended(asked);
  t.true(enter(asked), 'nobody waits for it any more');
  table.runs(asked, LOG, 0);
  t.true(enter(query()));
});

test('what was let in counts for as long as records of it come', (t) => {
  const { table, at, enter } = tableOf({ queriesPerSession: 1 });
  const [first, second] = [query(), query()];
  enter(first);
  enter(second);
  for (const ms of [30_000, 60_000, 90_000]) {
    table.runs(first, LOG, ms);
    table.sweep(ms + 1);
    t.deepEqual(table.look(ms + 1), []);
  }
  at.nowMs = 90_000 + LAPSES.silentMs;
  table.sweep(at.nowMs - 1);
  t.deepEqual(table.look(at.nowMs - 1), []);
  table.sweep(at.nowMs);
  t.is(table.look(at.nowMs)[0], second);
});

test('what nothing is heard of after it was let in, or after its log broke off, counts for a while only', (t) => {
  const { table, enter } = tableOf({ queriesPerSession: 1 });
  const [first, second, third] = [query(), query(), query()];
  enter(first);
  enter(second);
  enter(third);
  table.sweep(LAPSES.unseenMs);
  t.is(table.look(LAPSES.unseenMs)[0], second);
  table.runs(second, LOG, 40_000);
  table.lost(LOG, 41_000);
  table.sweep(41_000 + LAPSES.unseenMs - 1);
  t.deepEqual(table.look(41_000), []);
  table.sweep(41_000 + LAPSES.unseenMs);
  t.is(table.look(80_000)[0], third);
});

test('a long query keeps its place between its stream’s end and ReattachExecute', (t) => {
  const { table, at, enter, ended, look } = tableOf({ queriesPerSession: 1 });
  const [first, second] = [query(), query()];
  enter(first);
  enter(second);
  t.is(ended(first, 120_000), 1_000);
  t.deepEqual(look(), []);
  const resumed = query();
  table.runs(resumed, undefined, 50);
  at.nowMs = 1_000;
  table.sweep(at.nowMs);
  t.deepEqual(look(), [], 'it runs on');
  t.is(ended(resumed, 10_000), 200);
  table.sweep(1_200);
  t.deepEqual(look(), [second.requestId]);
});

test('a query that runs counts whatever the limit, as after a change of the leader', (t) => {
  const { table, enter } = tableOf({ queriesPerTeam: 2 });
  for (let i = 0; i < 5; i++) table.runs(query(of(`user-${i}`)), LOG, 0);
  t.is([...table.running()].length, 5);
  t.false(enter(query()));
});

test('who is told to come back keeps the position of its session', (t) => {
  const { table, at, enter, ended, look } = tableOf({ queriesPerTeam: 1 });
  const [runs, early, late] = [query(of('alice')), query(of('bob')), query(of('carol'))];
  enter(runs);
  enter(early);
  enter(late);
  table.leave(early.requestId, 10_000);
  const again = query(of('bob'));
  at.nowMs = 9_000;
  t.false(enter(again));
  ended(runs);
  t.deepEqual(look(), [again.requestId]);
});

test('a position that is kept for somebody is forgotten when nobody comes', (t) => {
  const { table, enter, ended } = tableOf({ queriesPerTeam: 1 });
  const [runs, waits] = [query(of('alice')), query(of('bob'))];
  enter(runs);
  enter(waits);
  table.leave(waits.requestId, 30_000);
  ended(runs);
  table.sweep(LAPSES.endedMs);
  t.false(table.isEmpty, 'it is still to be swept');
  table.sweep(30_000);
  t.true(table.isEmpty);
});

test('without a limit nothing is counted, and a limit that is raised lets in who waits', (t) => {
  let limits: LimitPolicy | undefined = limitPolicy({ messageSizeBytes: 1 });
  const table = new QueryTable(() => limits, LAPSES);
  t.true(table.enter(query(), 0));
  t.true(table.isEmpty);
  limits = limitPolicy({ queriesPerTeam: 1 });
  t.true(table.enter(query(), 0));
  const waits = query();
  t.false(table.enter(waits, 0));
  limits = limitPolicy({ queriesPerTeam: 2 });
  t.is(table.look(0)[0], waits);
});

type Step =
  | { readonly kind: 'enter' | 'end' | 'leave' | 'runs' | 'lost'; readonly which: number }
  | { readonly kind: 'pass'; readonly ms: number };

const limit = fc.option(fc.integer({ min: 1, max: 4 }), { nil: undefined });
const steps: fc.Arbitrary<readonly Step[]> = fc.array(
  fc.oneof(
    { weight: 6, arbitrary: step('enter') },
    { weight: 4, arbitrary: step('end') },
    step('leave'),
    step('runs'),
    step('lost'),
    fc.record({ kind: fc.constant('pass' as const), ms: fc.integer({ min: 1, max: 60_000 }) }),
  ),
  { maxLength: 120 },
);

function step<Kind extends Exclude<Step['kind'], 'pass'>>(kind: Kind) {
  return fc.record({ kind: fc.constant(kind), which: fc.nat(1000) });
}

function keyOf(scope: QueryScope, { sessionId, principal, team, namespace }: Query): string {
  return { session: sessionId, principal: principal.subject, team, namespace }[scope];
}

test('whatever happens: no limit is passed by what is let in, nobody waits who may run, and first come is first served', (t) => {
  const limits = fc.record({
    queriesPerSession: limit,
    queriesPerPrincipal: limit,
    queriesPerTeam: limit,
    queriesPerNamespace: limit,
  });
  fc.assert(
    fc.property(limits, steps, (fields, taken) => {
      const { table } = tableOf(fields);
      const isLimited = Object.values(fields).some((value) => value !== undefined);
      let nowMs = 0;
      const asked: Query[] = [];
      const limitOf = {
        session: fields.queriesPerSession,
        principal: fields.queriesPerPrincipal,
        team: fields.queriesPerTeam,
        namespace: fields.queriesPerNamespace,
      };
      const fits = (candidate: Query, running: readonly Query[]) =>
        QUERY_SCOPES.every((scope) => {
          const key = keyOf(scope, candidate);
          const count = running.filter((other) => keyOf(scope, other) === key).length;
          return count < (limitOf[scope] ?? Infinity);
        });
      for (const taking of taken) {
        const before = [...table.running()];
        if (taking.kind === 'pass') nowMs += taking.ms;
        else if (taking.kind === 'enter') {
          const { which } = taking;
          const fresh = query({
            ...of(`user-${which % 3}`, `session-${which % 5}`),
            team: `team-${which % 2}`,
            namespace: `ns-${which % 2}`,
          });
          asked.push(fresh);
          t.is(table.enter(fresh, nowMs), !isLimited || fits(fresh, before));
        } else {
          const one = asked[taking.which % Math.max(1, asked.length)];
          if (!one) continue;
          if (taking.kind === 'end') table.ended(one.requestId, 0, nowMs);
          else if (taking.kind === 'leave') table.leave(one.requestId);
          else if (taking.kind === 'lost') table.lost(LOG, nowMs);
          else if (before.includes(one)) table.runs(one, LOG, nowMs);
        }
        table.sweep(nowMs);
        const left = [...table.running()];
        const line = [...table.inLine()];
        const admitted = table.look(nowMs);
        // In their order, each that fits beside those before it.
        for (const waiting of line) {
          const isAdmitted = fits(waiting, left);
          t.is(admitted.includes(waiting), isAdmitted);
          if (isAdmitted) left.push(waiting);
        }
        t.deepEqual(new Set(table.running()), new Set(left));
      }
      for (const { requestId } of asked) {
        table.leave(requestId);
        table.ended(requestId, 0, nowMs);
      }
      table.sweep(nowMs + LAPSES.endedMs);
      t.true(table.isEmpty);
    }),
    { numRuns: tries(200) },
  );
});

// The drivers' own service.

async function start(t: { teardown(fn: () => void): void }) {
  const driver = new FakeSparkConnect('secret');
  await driver.start('127.0.0.1');
  t.teardown(() => driver.stop());
  const address = `${driver.address}:${driver.port}`;
  const session = { address, token: 'secret', sessionId: nthSession(1), userId: 'alice' };
  return { driver, session, client: sparkConnectClient() };
}

test('a driver tells whether a session runs something', async (t) => {
  const { driver, session, client } = await start(t);
  const states: [number[], SessionStatus][] = [
    [[], 'idle'],
    [[4, 5, 6], 'idle'],
    [[4, 2], 'running'],
    [[3], 'running'],
  ];
  for (const [operations, expected] of states) {
    driver.sessions.set(nthSession(1), operations);
    t.is(await client.status(session), expected);
  }
  t.like(driver.calls[0], { method: 'GetStatus', sessionId: nthSession(1), userId: 'alice' });
});

test('a session that the driver does not know is told from one that cannot be asked for', async (t) => {
  const { driver, session, client } = await start(t);
  t.is(await client.status(session), 'unknown');
  t.is(await client.status({ ...session, token: 'of another driver' }), 'unreachable');
  t.is(await client.status({ ...session, token: undefined }), 'unreachable');
  driver.answersStatus = false;
  t.is(await client.status(session), 'unsupported');
  driver.stop();
  t.is(await client.status(session), 'unreachable');
  t.false(await client.release(session));
});

test('a session with a streaming query runs something; one that cannot be asked is not idle', async (t) => {
  const { driver, session, client } = await start(t);
  for (const answersStatus of [true, false]) {
    driver.answersStatus = answersStatus;
    driver.sessions.set(nthSession(1), [4]);
    driver.streaming.add(nthSession(1));
    t.is(await client.status(session), 'running');
    driver.streaming.clear();
    t.is(await client.status(session), answersStatus ? 'idle' : 'unsupported');
    driver.streamingFailure = 'the scheduler is stuck';
    t.is(await client.status(session), 'unreachable');
    driver.streamingFailure = '[INVALID_HANDLE.SESSION_CLOSED] The handle is invalid.';
    t.is(await client.status(session), 'unknown');
    driver.streamingFailure = undefined;
  }
});

test('a token that no header can carry is an answer that does not come, not a crash', async (t) => {
  const { session, client } = await start(t);
  t.is(await client.status({ ...session, token: 'two\nlines' }), 'unreachable');
  t.false(await client.release({ ...session, token: 'two\nlines' }));
});

test('a driver that answers with something else is not idle', async (t) => {
  const { driver, session, client } = await start(t);
  driver.rawStatus = Buffer.from([0x1a, 0xff]);
  t.is(await client.status(session), 'unreachable');
});

test('a session is released with the driver’s own token', async (t) => {
  const { driver, session, client } = await start(t);
  driver.sessions.set(nthSession(1), []);
  t.false(await client.release({ ...session, token: 'wrong' }));
  t.true(await client.release(session));
  t.is(driver.sessions.size, 0);
});

test('a driver behind mutual TLS is believed by the names in its certificate, not by its address', async (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'driver-tls-'));
  t.teardown(() => rmSync(folder, { recursive: true }));
  const authority = new TestAuthority();
  const name = 'spiffe://cluster.local/ns/team/sa/spark';
  const driver = new FakeSparkConnect('secret');
  const files = authority.writeFiles(folder, 'driver', { commonName: 'driver', uris: [name] });
  await driver.start('127.0.0.1', serverCredentials(files));
  t.teardown(() => driver.stop());
  driver.sessions.set(nthSession(1), []);
  const session = {
    address: `${driver.address}:${driver.port}`,
    token: 'secret',
    sessionId: nthSession(1),
    userId: 'alice',
  };
  const own = authority.writeFiles(folder, 'gateway', { commonName: 'gateway' });
  const asked = (serverNames: readonly string[]) =>
    sparkConnectClient(clientCredentials(own, { serverNames })).status(session);
  t.is(await asked([name]), 'idle');
  t.is(await asked([]), 'idle');
  t.is(await asked(['spiffe://cluster.local/ns/other/sa/spark']), 'unreachable');
  t.is(await sparkConnectClient().status(session), 'unreachable');
});
