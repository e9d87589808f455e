import test from 'ava';
import * as fc from 'fast-check';
import { limitsQueries } from '../../src/model/limit-refusals.js';
import { namespaceFields } from '../../src/policy/diff.js';
import { ZonedTime } from '../../src/policy/schedule.js';
import { mistakesIn, options, policyOf } from './support.js';
import { tries } from '../support/tries.js';

// Pools.

const pooled = policyOf(`
pools:
  - match: {namespaces: [sjns-data-dev]}
    size: 2
    maximum: 4
    sessions_per_driver: 3
    sharing: team
    after_use: reuse
    idle_ttl: never
    start_timeout: 1m
  - {match: {teams: ["ml-*"], environments: [prod]}, size: 20}
  - {match: {environments: [prod]}, maximum: 5}
warm_namespaces: [sjns-data-dev, sjns-ml-a-prod]
quotas:
  - {match: {teams: [data]}, sessions_per_principal: 2, sessions_per_team: 10}
  - {sessions_per_namespace: 50}
`);

test('an entry says all of a pool', (t) => {
  t.deepEqual(pooled.pool('sjns-data-dev'), {
    size: 2,
    maximum: 4,
    sessionsPerDriver: 3,
    sharing: 'team',
    afterUse: 'reuse',
    idleTtlMs: undefined,
    startTimeoutMs: 60_000,
  });
});

test('what an entry leaves out comes from the settings and safe defaults', (t) => {
  t.deepEqual(pooled.pool('sjns-ml-a-prod'), {
    size: 20,
    maximum: 100,
    sessionsPerDriver: 1,
    sharing: 'principal',
    afterUse: 'replace',
    idleTtlMs: 30 * 60_000,
    startTimeoutMs: 300_000,
  });
  t.like(pooled.pool('sjns-web-prod'), { size: 5, maximum: 5 });
});

test('a namespace that no entry is for has no pool, asked twice too', (t) => {
  t.is(pooled.pool('sjns-web-dev'), undefined);
  t.is(pooled.pool('sjns-web-dev'), undefined);
  t.is(pooled.pool('kube-system'), undefined);
});

test('a policy without pools gives every namespace the default one', (t) => {
  t.like(policyOf('').pool('sjns-web-dev'), { size: 10, maximum: 100, sessionsPerDriver: 1 });
  const poolDefaults = { ...options.poolDefaults, size: 1 };
  t.like(policyOf('', { poolDefaults }).pool('anything'), { size: 1 });
});

test('warm namespaces and quotas', (t) => {
  t.deepEqual(pooled.warmNamespaces, ['sjns-data-dev', 'sjns-ml-a-prod']);
  t.deepEqual(pooled.quotas('sjns-data-dev'), {
    sessionsPerPrincipal: 2,
    sessionsPerTeam: 10,
    sessionsPerNamespace: undefined,
  });
  t.is(pooled.quotas('sjns-web-dev').sessionsPerNamespace, 50);
  t.is(policyOf('').quotas('sjns-web-dev').sessionsPerNamespace, undefined);
});

test('the value is frozen', (t) => {
  t.true(Object.isFrozen(pooled));
  t.true(Object.isFrozen(pooled.pool('sjns-data-dev')));
  t.true(Object.isFrozen(pooled.warmNamespaces));
  t.true(Object.isFrozen(pooled.issuers[0]));
});

// Sizes by the clock.

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

test('mistakes of sizes by the clock are told at their place', (t) => {
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
    { numRuns: tries(50) },
  );
});

// Canaries.

const withCanaries = policyOf(`
pools:
  - {match: {environments: [dev]}, size: 10, maximum: 30}
canaries:
  - {match: {teams: [data]}, template: spark-4.3, share: 5%, sticky: session, when_none_is_ready: wait, size: 0, maximum: 3}
  - {template: spark-5, share: 0.5%}
`);

test('every canary that matches counts, in its order', (t) => {
  t.deepEqual(withCanaries.pool('sjns-data-dev')?.canaries, [
    {
      variant: 'spark-4.3',
      share: 0.05,
      sticky: 'session',
      whenNoneIsReady: 'wait',
      size: 0,
      maximum: 3,
    },
    {
      variant: 'spark-5',
      share: 0.005,
      sticky: 'principal',
      whenNoneIsReady: 'stable',
      size: undefined,
      maximum: undefined,
    },
  ]);
  t.is(withCanaries.pool('sjns-web-dev')?.canaries?.length, 1);
  t.is(withCanaries.pool('sjns-web-dev')?.size, 10);
  t.is(withCanaries.pool('sjns-data-prod'), undefined, 'a canary makes no pool');
});

test('mistakes of canaries are told at their place', (t) => {
  const mistakes = mistakesIn(
    'canaries: [{template: A b, share: 5%}, {template: a, share: "5"}, {template: a, share: 101%}, {template: a, share: 1%, size: 3, maximum: 2}, {template: a, share: 1%, size: 0}]',
  ).join('\n');
  t.regex(mistakes, /"A b" is not a name/);
  t.regex(mistakes, /"5" is not a share such as 5%/);
  t.regex(mistakes, /"101%" is not a share/);
  t.regex(mistakes, /size \(3\) must not exceed maximum \(2\)/);
  t.regex(mistakes, /with size 0 no driver would ever be made/);
});

// Limits.

const MiB = 1024 ** 2;

test('the first entry of limits that matches counts', (t) => {
  const policy = policyOf(`
limits:
  - {match: {teams: [data]}, message_size: 128MiB, connections_per_driver: 5}
  - {message_size: 64MiB}
`);
  t.is(policy.limits?.('sjns-data-dev')?.messageSizeBytes, 128 * MiB);
  t.is(policy.limits?.('sjns-data-dev')?.connectionsPerDriver, 5);
  t.is(policy.limits?.('sjns-web-dev')?.messageSizeBytes, 64 * MiB);
  t.is(policyOf('').limits?.('sjns-web-dev'), undefined);
});

test('queries are limited for one session, principal, team and namespace', (t) => {
  const policy = policyOf(`
limits:
  - {queries_per_session: 1, queries_per_principal: 2, queries_per_team: 3, queries_per_namespace: 4}
`);
  const limits = policy.limits?.('sjns-data-dev');
  t.like(limits, {
    queriesPerSession: 1,
    queriesPerPrincipal: 2,
    queriesPerTeam: 3,
    queriesPerNamespace: 4,
  });
  t.true(limits && limitsQueries(limits));
  const fields = namespaceFields(policy, 'sjns-data-dev');
  t.is(fields.get('limits.queries_per_team'), '3');
  const others = policyOf('limits: [{message_size: 1MiB}]').limits?.('sjns-data-dev');
  t.false(others && limitsQueries(others));
});

test('they are compared as they are written', (t) => {
  const policy = policyOf('limits: [{message_size: 1536KiB}]\n');
  t.is(namespaceFields(policy, 'sjns-data-dev').get('limits.message_size'), '1536KiB');
});

test('mistakes of limits are told at their place', (t) => {
  const mistakes = mistakesIn(
    'limits: [{message_size: 128}, {message_size: 1KiB}, {message_size: 4GiB}]',
  ).join('\n');
  for (const written of ['128', '1KiB', '4GiB']) {
    t.regex(mistakes, new RegExp(`"${written}" is not a size such as .*from 64KiB to 2GiB`));
  }
  t.regex(mistakesIn('limits: [{queries_per_team: 0}]').join(), /"0" is not a whole number from 1/);
});

// Rates.

test('the first entry of rates that matches counts', (t) => {
  const policy = policyOf(`
rate_limits:
  - {match: {teams: [data]}, sessions_per_principal: 10/1m, requests_per_team: 100/1s}
  - {sessions_per_namespace: 5/1h30m}
`);
  t.deepEqual(policy.rateLimits?.('sjns-data-dev'), {
    sessions: { principal: { count: 10, perMs: 60_000 }, team: undefined, namespace: undefined },
    requests: { principal: undefined, team: { count: 100, perMs: 1_000 }, namespace: undefined },
  });
  t.deepEqual(policy.rateLimits?.('sjns-web-dev')?.sessions.namespace, {
    count: 5,
    perMs: 5_400_000,
  });
  t.is(policyOf('').rateLimits?.('sjns-web-dev'), undefined);
});

test('mistakes of rates are told at their place', (t) => {
  const mistakes = mistakesIn(
    'rate_limits: [{sessions_per_team: 10}, {sessions_per_team: 0/1m}, {sessions_per_team: 1/2d}]',
  ).join('\n');
  for (const written of ['10', '0/1m', '1/2d']) {
    t.regex(mistakes, new RegExp(`"${written}" is not a rate such as 10/1m`));
  }
});
