import test from 'ava';
import * as fc from 'fast-check';
import { AssignmentCache, type Asking } from '../../../src/authz/assignments/assignment-cache.js';
import type { Assignment } from '../../../src/model/assignment.js';
import { type Moment, momentOf } from '../../../src/model/clock.js';
import { ManualClock } from '../../support/manual-clock.js';

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
    { numRuns: 300 },
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
