import test from 'ava';
import { nameList } from '../../src/xds/name-lists.js';
import { TypeUrl } from '../../src/xds/resource.js';
import { SubscribedNames } from '../../src/xds/subscriber-index.js';
import { Subscription } from '../../src/xds/subscription.js';

const { CLUSTER, ENDPOINTS } = TypeUrl;
const names = (...list: string[]) => nameList(new Set(list));
const subscriptionOf = (typeUrl: TypeUrl) => new Subscription(typeUrl, new SubscribedNames());

test('state-of-the-world: the example of the specification, step by step', (t) => {
  const subscription = subscriptionOf(CLUSTER);
  t.true(subscription.replace(names()).wildcardAsked);
  t.true(subscription.wildcard);

  const added = subscription.replace(names('*', 'A'));
  t.true(subscription.wildcard);
  t.false(added.wildcardAsked);
  t.deepEqual(added.added, ['A']);

  t.true(subscription.replace(names('A')).wildcardEnded);
  t.true(subscription.includes('A'));
  t.false(subscription.includes('B'));

  const cleared = subscription.replace(names());
  t.false(subscription.wildcard, 'an empty list is no wildcard once a name was given');
  t.deepEqual(cleared.removed, ['A']);
  t.false(subscription.includes('A'));
});

test('incremental: the example of the specification, step by step', (t) => {
  const subscription = subscriptionOf(CLUSTER);
  t.true(subscription.modify(names(), names()).wildcardAsked);
  t.deepEqual(subscription.modify(names('A'), names()).added, ['A']);
  t.true(subscription.wildcard);
  t.true(subscription.modify(names(), names('*')).wildcardEnded);
  t.true(subscription.includes('A'));
  t.deepEqual(subscription.modify(names(), names('A')).removed, ['A']);
  t.false(subscription.wildcard);
  t.false(subscription.modify(names(), names()).wildcardAsked);
  t.false(subscription.wildcard);
});

test('a request without names wants nothing of a type that has no legacy wildcard', (t) => {
  const sotw = subscriptionOf(ENDPOINTS);
  sotw.replace(names());
  t.false(sotw.wildcard);
  const delta = subscriptionOf(ENDPOINTS);
  delta.modify(names(), names());
  t.false(delta.wildcard);
});

test('an explicit wildcard works for every type', (t) => {
  const sotw = subscriptionOf(ENDPOINTS);
  sotw.replace(names('*'));
  t.true(sotw.includes('anything'));
  t.deepEqual([...sotw.names], []);
  const delta = subscriptionOf(ENDPOINTS);
  delta.modify(names('*', 'A'), names());
  t.true(delta.includes('anything'));
  t.deepEqual([...delta.names], ['A']);
});

test('incremental: what is named again is answered again', (t) => {
  const subscription = subscriptionOf(ENDPOINTS);
  subscription.modify(names('A', 'B'), names());
  const again = subscription.modify(names('A'), names());
  t.deepEqual(again.added, []);
  t.deepEqual(again.asked, ['A']);
  t.true(subscriptionOf(CLUSTER).modify(names('*'), names()).wildcardAsked);
});

test('incremental: who gives up a name and keeps the wildcard is told whether the resource stays', (t) => {
  const subscription = subscriptionOf(CLUSTER);
  subscription.modify(names('*', 'A'), names());
  t.deepEqual(subscription.modify(names(), names('A', 'unknown')).asked, ['A']);
  const named = subscriptionOf(CLUSTER);
  named.modify(names('A', 'B'), names());
  t.deepEqual(named.modify(names(), names('A')).asked, []);
});

test('incremental: a name given up and taken in one request stays', (t) => {
  const subscription = subscriptionOf(ENDPOINTS);
  subscription.modify(names('A'), names());
  const change = subscription.modify(names('A'), names('A'));
  t.deepEqual([change.added, change.removed, change.asked], [[], [], ['A']]);
  t.true(subscription.includes('A'));
});

test('state-of-the-world: only new names are answered, and the same list again changes nothing', (t) => {
  const subscription = subscriptionOf(ENDPOINTS);
  const list = names('A', 'B');
  t.deepEqual(subscription.replace(list).asked, ['A', 'B']);
  t.deepEqual(subscription.replace(list).asked, []);
  t.deepEqual(subscription.replace(names('A', 'B')).asked, []);
  const change = subscription.replace(names('B', 'C'));
  t.deepEqual([change.asked, change.removed], [['C'], ['A']]);
});
