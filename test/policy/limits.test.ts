import test from 'ava';
import { limitsQueries } from '../../src/model/limit-refusals.js';
import { namespaceFields } from '../../src/policy/diff.js';
import { mistakesIn, policyOf } from './support.js';

const MiB = 1024 ** 2;

test('the first entry that matches counts', (t) => {
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

test('mistakes are told at their place', (t) => {
  const mistakes = mistakesIn(
    'limits: [{message_size: 128}, {message_size: 1KiB}, {message_size: 4GiB}]',
  ).join('\n');
  for (const written of ['128', '1KiB', '4GiB']) {
    t.regex(mistakes, new RegExp(`"${written}" is not a size such as .*from 64KiB to 2GiB`));
  }
  t.regex(mistakesIn('limits: [{queries_per_team: 0}]').join(), /"0" is not a whole number from 1/);
});
