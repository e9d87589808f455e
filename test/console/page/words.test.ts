import test from 'ava';
import { duration, latency } from '../../../src/lib/page/format.js';
import { routeOf } from '../../../src/console/page/route.js';

test('durations in their two greatest units', (t) => {
  const cases: readonly (readonly [number, string])[] = [
    [-5, '0 s'],
    [59_999, '59 s'],
    [60_000, '1 min'],
    [150_000, '2 min'],
    [3_600_000, '1 h'],
    [7_500_000, '2 h 5 min'],
    [90_000_000, '1 d 1 h'],
  ];
  for (const [ms, text] of cases) t.is(duration(ms), text);
});

test('latencies without digits that say nothing', (t) => {
  t.is(latency(0.44), '0.4 ms');
  t.is(latency(42.4), '42 ms');
  t.is(latency(1_254), '1.25 s');
});

test('an address names a view; what names none is told so', (t) => {
  t.like(routeOf('/', ''), { view: 'overview' });
  t.like(routeOf('/sessions/a%2Fb', '?q=1'), { view: 'session', id: 'a/b' });
  t.like(routeOf('/pools/%zz', ''), { view: 'pool', id: '%zz' });
  for (const path of ['/constructor/x', '/sessions/', '/sessions/a/b', '/nothing']) {
    t.like(routeOf(path, ''), { view: 'unknown' }, path);
  }
});
