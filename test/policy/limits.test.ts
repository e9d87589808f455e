import test from 'ava';
import { namespaceFields } from '../../src/policy/namespace-fields.js';
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
});
