import test from 'ava';
import * as fc from 'fast-check';
import { RateLimiter } from '../../src/model/limit-refusals.js';

const limit = { count: 3, perMs: 3_000 };
const take = (limiter: RateLimiter, key: string, nowMs: number) =>
  limiter.take([{ key, limit }], nowMs);

test('a count at once, then one after another, each at the time that was told', (t) => {
  const limiter = new RateLimiter();
  for (let i = 0; i < 3; i += 1) t.is(take(limiter, 'a', 10_000), undefined);
  t.is(take(limiter, 'a', 10_000)?.retryAfterMs, 1_000);
  t.is(take(limiter, 'a', 10_400)?.retryAfterMs, 600);
  t.is(take(limiter, 'a', 11_000), undefined);
  t.is(take(limiter, 'a', 11_000)?.retryAfterMs, 1_000);
  t.is(take(limiter, 'b', 11_000), undefined, 'another key has its own');
});

test('where one of several limits is used up, none is taken from the others', (t) => {
  const limiter = new RateLimiter();
  const both = [
    { key: 'own', limit: { count: 1, perMs: 1_000 } },
    { key: 'team', limit: { count: 2, perMs: 1_000 } },
  ];
  t.is(limiter.take(both, 0), undefined);
  t.is(limiter.take(both, 0)?.demand.key, 'own');
  t.is(limiter.take(both.slice(1), 0), undefined);
  t.is(limiter.take(both.slice(1), 0)?.retryAfterMs, 500);
});

test('a clock that goes back refuses for no longer than a whole time', (t) => {
  const limiter = new RateLimiter();
  for (let i = 0; i < 3; i += 1) take(limiter, 'a', 1_000_000);
  t.true((take(limiter, 'a', 0)?.retryAfterMs ?? 0) <= limit.perMs);
});

test('what is remembered is bounded, and nothing of full buckets', (t) => {
  const limiter = new RateLimiter(100);
  for (let n = 0; n < 1_000; n += 1) take(limiter, `key ${n}`, 0);
  t.is(limiter.size, 100);
  take(limiter, 'later', 60_000);
  t.is(limiter.size, 1);
});

test('never more than the count and what was refilled, and never refused after the time that was told', (t) => {
  const step = fc.record({
    pauseMs: fc.nat(5_000),
    key: fc.constantFrom('a', 'b'),
    waits: fc.boolean(),
  });
  fc.assert(
    fc.property(
      fc.integer({ min: 1, max: 20 }),
      fc.integer({ min: 1_000, max: 60_000 }),
      fc.array(step, { maxLength: 200 }),
      (count, perMs, steps) => {
        const limiter = new RateLimiter();
        const taken = new Map<string, number[]>();
        let nowMs = 0;
        for (const { pauseMs, key, waits } of steps) {
          nowMs += pauseMs;
          const ask = () => limiter.take([{ key, limit: { count, perMs } }], nowMs);
          let refusal = ask();
          if (refusal && waits) {
            nowMs += refusal.retryAfterMs;
            refusal = ask();
            t.is(refusal, undefined);
          }
          if (!refusal) taken.set(key, [...(taken.get(key) ?? []), nowMs]);
        }
        for (const times of taken.values()) {
          for (const [first, fromMs] of times.entries()) {
            for (const [further, toMs] of times.slice(first).entries()) {
              const most = count + ((toMs - fromMs) / perMs) * count;
              t.true(further + 1 <= most + 1e-6);
            }
          }
        }
      },
    ),
    { numRuns: 50 },
  );
});
