import test from 'ava';
import * as fc from 'fast-check';
import { ZonedTime } from '../../src/policy/schedule.js';
import { mistakesIn, policyOf } from './support.js';

const at = (text: string) => Date.parse(text);

function clock(minutes: number): string {
  return `${String(Math.floor(minutes / 60)).padStart(2, '0')}:${String(minutes % 60).padStart(2, '0')}`;
}

function sizes(schedule: string) {
  const pool = policyOf(`pools: [{size: 1, maximum: 5, schedule: [${schedule}]}]`).pool(
    'sjns-a-dev',
  );
  return (text: string) => {
    const found = pool?.schedule?.at(at(text));
    return found && [found.size, found.maximum, new Date(found.untilMs).toISOString()];
  };
}

test('working hours are those of the time zone, on its days', (t) => {
  const size = sizes(
    "{days: [mon-fri], from: '07:00', to: '19:00', time_zone: America/Los_Angeles, size: 3}",
  );
  t.deepEqual(size('2026-01-05T14:59:59Z'), [1, 5, '2026-01-05T15:00:00.000Z']);
  t.deepEqual(size('2026-01-05T15:00:00Z'), [3, 5, '2026-01-06T03:00:00.000Z']);
  t.deepEqual(size('2026-01-10T03:00:00Z'), [1, 5, '2026-01-12T15:00:00.000Z']);
});

test('the hours stay the same on the wall clock when daylight saving time begins and ends', (t) => {
  const size = sizes("{from: '07:00', to: '19:00', time_zone: America/Los_Angeles, size: 3}");
  t.is(size('2026-03-07T16:00:00Z')?.[2], '2026-03-08T03:00:00.000Z');
  t.is(size('2026-03-08T09:00:00Z')?.[2], '2026-03-08T14:00:00.000Z');
  t.is(size('2026-10-31T22:00:00Z')?.[2], '2026-11-01T02:00:00.000Z');
  t.is(size('2026-11-01T08:30:00Z')?.[2], '2026-11-01T15:00:00.000Z');
});

test('a time that the clock skips begins when the clock goes on, one that comes twice at its first', (t) => {
  const size = sizes("{from: '02:30', to: '04:00', time_zone: Europe/Berlin, size: 3}");
  t.deepEqual(size('2026-03-29T00:59:59Z'), [1, 5, '2026-03-29T01:00:00.000Z']);
  t.deepEqual(size('2026-03-29T01:00:00Z'), [3, 5, '2026-03-29T02:00:00.000Z']);
  t.deepEqual(size('2026-10-25T00:29:00Z'), [1, 5, '2026-10-25T00:30:00.000Z']);
  t.deepEqual(size('2026-10-25T01:15:00Z'), [3, 5, '2026-10-25T03:00:00.000Z']);
});

test('a time over midnight belongs to the day on which it begins', (t) => {
  const size = sizes("{days: [fri], from: '22:00', to: '06:00', maximum: 9}");
  t.deepEqual(size('2026-01-09T22:00:00Z'), [1, 9, '2026-01-10T06:00:00.000Z']);
  t.deepEqual(size('2026-01-10T05:59:59Z'), [1, 9, '2026-01-10T06:00:00.000Z']);
  t.deepEqual(size('2026-01-10T22:00:00Z')?.slice(0, 2), [1, 5]);
});

test('of times that overlap the first counts; a whole day is a time, too', (t) => {
  const size = sizes(
    "{days: [sat], size: 0}, {days: [fri-mon], from: '08:00', to: '24:00', size: 4}",
  );
  t.deepEqual(size('2026-01-10T12:00:00Z')?.slice(0, 2), [0, 5]);
  t.deepEqual(size('2026-01-11T12:00:00Z')?.slice(0, 2), [4, 5]);
  t.deepEqual(size('2026-01-12T23:59:59Z'), [4, 5, '2026-01-13T00:00:00.000Z']);
  t.deepEqual(size('2026-01-13T12:00:00Z')?.slice(0, 2), [1, 5]);
});

test('people are told the times', (t) => {
  const pool = policyOf(
    "pools: [{schedule: [{days: [mon-tue], from: '22:30', to: '06:00', time_zone: Asia/Tokyo, size: 3}, {maximum: 12}]}]",
  ).pool('sjns-a-dev');
  t.deepEqual(pool?.schedule?.times, [
    'mon, tue 22:30–06:00 Asia/Tokyo: size 3, maximum 100',
    'sun, mon, tue, wed, thu, fri, sat 00:00–24:00 UTC: size 10, maximum 12',
  ]);
});

test('mistakes are told at their place', (t) => {
  const mistakes = mistakesIn(
    'pools: [{maximum: 5, schedule: [{days: [monday]}, {from: 7am}, {to: "24:01"}, {time_zone: Amerika/Los_Angeles}, {size: 9}, {from: "07:00"}]}]',
  ).join('\n');
  t.regex(mistakes, /"monday" is not a day such as mon/);
  t.regex(mistakes, /"7am" is not a time of the day/);
  t.regex(mistakes, /"24:01" is not a time of the day/);
  t.regex(mistakes, /"Amerika\/Los_Angeles" is not a time zone/);
  t.regex(mistakes, /size \(9\) must not exceed maximum \(5\)/);
  t.regex(mistakes, /a scheduled time needs size or maximum/);
});

test('a moment found for a time is the first at which the clock shows it or later', (t) => {
  const zones = [
    'UTC',
    'America/Los_Angeles',
    'Europe/Berlin',
    'Asia/Kolkata',
    'Australia/Lord_Howe',
    'Pacific/Apia',
    'America/St_Johns',
    'Africa/Casablanca',
  ].map((name) => new ZonedTime(name));
  const minute = fc.integer({
    min: at('2005-01-01T00:00:00Z') / 60_000,
    max: at('2035-01-01T00:00:00Z') / 60_000,
  });
  fc.assert(
    fc.property(fc.constantFrom(...zones), minute, (zone, minutes) => {
      const wall = minutes * 60_000;
      const moment = zone.momentOf(wall);
      t.true(zone.wallMs(moment) >= wall);
      t.true(zone.wallMs(moment - 1) < wall);
    }),
  );
});

test('a size holds until the moment that is given for it, and not into another’s time', (t) => {
  const time = fc.integer({ min: 0, max: 47 }).map((half) => half * 30);
  const entry = fc
    .record({
      days: fc.constantFrom('mon', 'mon-fri', 'fri-mon', 'sun'),
      from: time,
      to: time,
      zone: fc.constantFrom('UTC', 'America/Los_Angeles', 'Australia/Lord_Howe'),
      size: fc.nat(5),
    })
    .map(
      (e) =>
        `{days: [${e.days}], from: '${clock(e.from)}', to: '${clock(e.to)}', time_zone: ${e.zone}, size: ${e.size}}`,
    );
  const moment = fc.integer({
    min: at('2026-01-01T00:00:00Z') / 60_000,
    max: at('2027-01-01T00:00:00Z') / 60_000,
  });
  fc.assert(
    fc.property(fc.array(entry, { minLength: 1, maxLength: 3 }), moment, (entries, minutes) => {
      const schedule = () => {
        const text = `pools: [{size: 1, maximum: 5, schedule: [${entries.join(', ')}]}]`;
        return policyOf(text).pool('sjns-a-dev')?.schedule;
      };
      const nowMs = minutes * 60_000;
      const now = schedule()?.at(nowMs);
      if (!now) return t.fail();
      t.true(now.untilMs > nowMs);
      const fresh = schedule();
      for (const share of [0.3, 0.7, 0.999_99]) {
        const between = Math.floor(nowMs + (now.untilMs - nowMs) * share);
        t.is(fresh?.at(between).size, now.size);
        t.is(fresh?.at(between).untilMs, now.untilMs);
      }
    }),
    { numRuns: 50 },
  );
});
