import test from 'ava';
import { LONGEST_MESSAGE } from '../../../src/policy/sources/policy-resource-schema.js';
import {
  type PolicyResourceStatus,
  statusOf,
} from '../../../src/policy/sources/policy-resource-status.js';

const inForce = { version: 'v1', document: 'text' };
const START_MS = Date.UTC(2026, 0, 1);

function since({ conditions }: PolicyResourceStatus) {
  return conditions?.map(({ lastTransitionTime }) => lastTransitionTime);
}

test('a condition keeps the time of its transition until it changes', (t) => {
  const good = statusOf({ generation: 1, error: undefined, inForce }, {}, START_MS);
  t.deepEqual(statusOf({ generation: 1, error: undefined, inForce }, good, START_MS + 1), good);
  const bad = statusOf({ generation: 2, error: 'spec: x', inForce }, good, START_MS + 2);
  t.deepEqual(
    bad.conditions?.map(({ type, status, reason }) => [type, status, reason]),
    [
      ['Accepted', 'False', 'Invalid'],
      ['Programmed', 'False', 'LastGoodInForce'],
    ],
  );
  t.deepEqual(bad.inForce, inForce);
  const other = statusOf({ generation: 3, error: 'spec: y', inForce }, bad, START_MS + 3);
  t.deepEqual(since(other), since(bad));
  t.notDeepEqual(since(bad), since(good));
  t.true(other.conditions?.every(({ observedGeneration }) => observedGeneration === 3));
});

test('more mistakes than a condition holds are cut off', (t) => {
  const error = 'spec: x\n'.repeat(LONGEST_MESSAGE);
  const { conditions } = statusOf({ generation: 1, error, inForce: undefined }, {}, START_MS);
  t.is(conditions?.[0]?.message.length, LONGEST_MESSAGE);
  t.is(conditions?.[1]?.reason, 'NoGoodPolicy');
});
