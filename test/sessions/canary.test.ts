import test from 'ava';
import * as fc from 'fast-check';
import type { CanaryPolicy } from '../../src/model/policy.js';
import { chooseCanary } from '../../src/sessions/eligibility.js';
import { withPhase } from '../../src/model/driver-record.js';
import { alice, bob, driverRecord, NAMESPACE, sessionId } from '../support/driver-records.js';
import { sessionFixture, testPolicy } from '../support/session-fixture.js';

const canary: CanaryPolicy = {
  variant: 'next',
  share: 1,
  sticky: 'principal',
  whenNoneIsReady: 'stable',
  size: 1,
  maximum: 1,
};

const next = (uid: string) => driverRecord(uid, { variant: 'next' });

async function world(records: Parameters<typeof sessionFixture>[0], fields: Partial<CanaryPolicy>) {
  const f = await sessionFixture(records);
  f.world.policy = testPolicy({ canaries: [{ ...canary, ...fields }] });
  return f;
}

test('a session of the canary gets one of its drivers, another none of them', async (t) => {
  const f = await world([driverRecord('d1'), next('n1')], {});
  t.is((await f.assign(sessionId(1))).driverUid, 'n1');
  f.world.policy = testPolicy({ canaries: [{ ...canary, share: 0 }] });
  t.is((await f.assign(sessionId(2), { principal: bob })).driverUid, 'd1');
  await f.addDriver(next('n2'));
  const refused = t.throwsAsync(f.assign(sessionId(3), { principal: bob, holdMs: 100 }));
  await f.clock.advance(1_100);
  t.regex((await refused)?.message ?? '', /starting/);
});

test('while no driver of the canary is free, its session takes one of the pool’s own', async (t) => {
  const f = await world([driverRecord('d1')], {});
  t.is((await f.assign(sessionId(1))).driverUid, 'd1');
  const waiting = f.assign(sessionId(2));
  t.is(f.waitingRoom.waiting({ namespace: NAMESPACE }), 1);
  await f.addDriver(next('n1'));
  t.is((await waiting).driverUid, 'n1', 'the first that is free of either kind');
});

test('where the policy says so, a session waits for a driver of the canary', async (t) => {
  const f = await world([driverRecord('d1')], { whenNoneIsReady: 'wait' });
  const waiting = f.assign(sessionId(1));
  t.is(f.waitingRoom.waiting({ namespace: NAMESPACE }), 0);
  t.is(f.waitingRoom.waiting({ namespace: NAMESPACE, variant: 'next' }), 1);
  await f.addDriver(next('n1'));
  t.is((await waiting).driverUid, 'n1');
});

test('a session that waits for a canary gets one of the pool’s own once the canary fails to start', async (t) => {
  const f = await world([driverRecord('d1')], { whenNoneIsReady: 'wait' });
  const waiting = f.assign(sessionId(1));
  f.statusOf.set('next', { ...f.status, failure: 'No image.' });
  await f.clock.advance(1_100);
  t.is((await waiting).driverUid, 'd1');
});

test('a session that waits for a canary gets one of the pool’s own once the policy drops the canary', async (t) => {
  const f = await world([driverRecord('d1')], { whenNoneIsReady: 'wait' });
  const waiting = f.assign(sessionId(1));
  f.world.policy = testPolicy();
  await f.clock.advance(1_100);
  t.is((await waiting).driverUid, 'd1');
});

test('a running session stays where it is whatever becomes of the canary', async (t) => {
  const f = await world([driverRecord('d1'), next('n1')], {});
  t.is((await f.assign(sessionId(1))).driverUid, 'n1');
  f.world.policy = testPolicy();
  await f.ledger.update('n1', (record) => withPhase(record, 'draining', f.clock.now()));
  t.is((await f.assign(sessionId(1))).driverUid, 'n1');
});

const pool = (...canaries: readonly Partial<CanaryPolicy>[]) => ({
  canaries: canaries.map((fields) => ({ ...canary, ...fields })),
});

test('a principal goes the same way with every session, and stays when the share grows', (t) => {
  fc.assert(
    fc.property(
      fc.string(),
      fc.double({ min: 0, max: 1, noNaN: true }),
      fc.double({ min: 0, max: 1, noNaN: true }),
      (subject, a, b) => {
        const chosen = (share: number, n: number) => {
          const principal = { ...alice, subject };
          return (
            chooseCanary(pool({ share }), { principal, sessionId: sessionId(n) }) !== undefined
          );
        };
        t.is(chosen(a, 1), chosen(a, 2));
        if (chosen(Math.min(a, b), 1)) t.true(chosen(Math.max(a, b), 1));
      },
    ),
  );
});

test('a share is a share, of principals or of sessions', (t) => {
  for (const sticky of ['principal', 'session'] as const) {
    const taken = Array.from({ length: 10_000 }, (_, n) =>
      chooseCanary(pool({ share: 0.05, sticky }), {
        principal: { ...alice, subject: sticky === 'principal' ? `user-${n}` : 'alice' },
        sessionId: sessionId(n),
      }),
    ).filter((chosen) => chosen !== undefined).length;
    t.true(taken > 400 && taken < 600, `${taken} of 10,000`);
  }
});

test('what no canary takes is left for the ones below', (t) => {
  const two = pool({ variant: 'a', share: 0.5 }, { variant: 'b', share: 1 });
  const chosen = Array.from(
    { length: 1000 },
    (_, n) =>
      chooseCanary(two, { principal: { ...alice, subject: `u${n}` }, sessionId: sessionId(0) })
        ?.variant,
  );
  const ofB = chosen.filter((variant) => variant === 'b').length;
  t.true(ofB > 400 && ofB < 600);
  t.false(chosen.includes(undefined));
});
