import test from 'ava';
import { mistakesIn, policyOf } from './support.js';

const policy = policyOf(`
pools:
  - {match: {environments: [dev]}, size: 10, maximum: 30}
canaries:
  - {match: {teams: [data]}, template: spark-4.3, share: 5%, sticky: session, when_none_is_ready: wait, size: 0, maximum: 3}
  - {template: spark-5, share: 0.5%}
`);

test('every canary that matches counts, in its order', (t) => {
  t.deepEqual(policy.pool('sjns-data-dev')?.canaries, [
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
  t.is(policy.pool('sjns-web-dev')?.canaries?.length, 1);
  t.is(policy.pool('sjns-web-dev')?.size, 10);
  t.is(policy.pool('sjns-data-prod'), undefined, 'a canary makes no pool');
});

test('mistakes are told at their place', (t) => {
  const mistakes = mistakesIn(
    'canaries: [{template: A b, share: 5%}, {template: a, share: "5"}, {template: a, share: 101%}, {template: a, share: 1%, size: 3, maximum: 2}, {template: a, share: 1%, size: 0}]',
  ).join('\n');
  t.regex(mistakes, /"A b" is not a name/);
  t.regex(mistakes, /"5" is not a share such as 5%/);
  t.regex(mistakes, /"101%" is not a share/);
  t.regex(mistakes, /size \(3\) must not exceed maximum \(2\)/);
  t.regex(mistakes, /with size 0 no driver would ever be made/);
});
