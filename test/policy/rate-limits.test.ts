import test from 'ava';
import { mistakesIn, policyOf } from './support.js';

test('the first entry that matches counts', (t) => {
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

test('mistakes are told at their place', (t) => {
  const mistakes = mistakesIn(
    'rate_limits: [{sessions_per_team: 10}, {sessions_per_team: 0/1m}, {sessions_per_team: 1/2d}]',
  ).join('\n');
  for (const written of ['10', '0/1m', '1/2d']) {
    t.regex(mistakes, new RegExp(`"${written}" is not a rate such as 10/1m`));
  }
});
