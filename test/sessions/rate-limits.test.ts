import test from 'ava';
import type { GatewayError } from '../../src/model/errors.js';
import type { RateLimit } from '../../src/model/policy.js';
import { bob, driverRecord, sessionId } from '../support/driver-records.js';
import { sessionFixture, testPolicy } from '../support/session-fixture.js';

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
