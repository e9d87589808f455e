import test from 'ava';
import { ShadowTally } from '../../src/authz/shadow.js';
import { ManualClock } from '../support/manual-clock.js';

const refused = { source: 'policy', would: 'refuse', code: 'NAMESPACE_REFUSED' } as const;
const allowed = { source: 'rule', would: 'allow', code: 'OK' } as const;
const person = (subject: string) => ({ issuer: 'https://example.okta.com', subject });

function exampleOf(subject: string) {
  const message = `${subject} may not`;
  return { ...refused, by: 'c1', principal: person(subject), method: 'Config', message };
}

test('differences are counted by kind; a new version begins anew, and only its own source', (t) => {
  const tally = new ShadowTally(new ManualClock());
  tally.decides('policy', 'c1');
  tally.decides('rule', 'v1');
  for (const kind of [refused, allowed, refused]) tally.count(kind);
  tally.example(exampleOf('ann'));
  tally.decides('policy', 'c1');
  t.deepEqual(tally.counts, [
    { ...refused, count: 2 },
    { ...allowed, count: 1 },
  ]);
  tally.decides('policy', 'c2');
  t.deepEqual(tally.counts, [{ ...allowed, count: 1 }]);
  t.deepEqual(tally.examples, []);
  tally.decides('policy', undefined);
  t.is(tally.counts.length, 1);
});

test('the newest examples are kept, each once, and long messages are cut', async (t) => {
  const clock = new ManualClock();
  const tally = new ShadowTally(clock);
  for (let i = 0; i < 20; i++) tally.example(exampleOf(`person-${i}`));
  await clock.advance(1_000);
  tally.example({ ...exampleOf('person-15'), message: 'x'.repeat(10_000) });
  t.is(tally.examples.length, 10);
  t.like(tally.examples[0], { principal: person('person-15'), atMs: clock.now() });
  t.true((tally.examples[0]?.message.length ?? 0) < 1_000);
  t.is(tally.examples.filter(({ principal }) => principal.subject === 'person-15').length, 1);
});
