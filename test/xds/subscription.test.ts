import test from 'ava';
import * as fc from 'fast-check';
import { nameList } from '../../src/xds/name-lists.js';
import { type EncodedResource, isFullState, TypeUrl } from '../../src/xds/resource.js';
import { SubscribedNames } from '../../src/xds/subscriber-index.js';
import { Subscription } from '../../src/xds/subscription.js';
import { tries } from '../support/tries.js';
import type { ProtocolName } from '../support/xds-client.js';
import { type HubClient, HubHarness, VIEW } from '../support/xds-hub.js';
import { cluster, endpoints, listener, route } from '../support/xds-resources.js';

// Subscriptions.

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

// * Whatever clients and operators do, in whatever order: in the end a client has what the cache holds
// of what it wants, a rejected version is not sent in a loop, and one that comes back is sent nothing
// that it has.

const types = [TypeUrl.CLUSTER, TypeUrl.ENDPOINTS, TypeUrl.LISTENER, TypeUrl.ROUTE] as const;
type TestedType = (typeof types)[number];
const BAD = 3;

/** Content number BAD is one that clients reject. */
const make: Record<TestedType, (name: string, content: number) => EncodedResource> = {
  [TypeUrl.CLUSTER]: (name, content) => cluster(name, `setting-${content}`),
  [TypeUrl.ENDPOINTS]: (name, content) => endpoints(name, [content + 1]),
  [TypeUrl.LISTENER]: (name, content) => listener(name, `setting-${content}`),
  [TypeUrl.ROUTE]: (name, content) => route(name, `host-${content}`),
};

type Step =
  | { do: 'change'; changes: { type: TestedType; name: string; content: number | undefined }[] }
  | { do: 'subscribe'; type: TestedType; names: string[] }
  | { do: 'unsubscribe'; type: TestedType; names: string[] }
  | { do: 'take' }
  | { do: 'wait' }
  | { do: 'reconnect' };

const anyType = fc.constantFrom(...types);
const anyName = fc.constantFrom('a', 'b', 'c');
const anyWanted = fc.constantFrom('a', 'b', 'c', '*');
const step: fc.Arbitrary<Step> = fc.oneof(
  {
    weight: 4,
    arbitrary: fc.record({
      do: fc.constant('change' as const),
      changes: fc.array(
        fc.record({
          type: anyType,
          name: anyName,
          content: fc.option(fc.nat(BAD), { nil: undefined }),
        }),
        { minLength: 1, maxLength: 4 },
      ),
    }),
  },
  {
    weight: 3,
    arbitrary: fc.record({
      do: fc.constant('subscribe' as const),
      type: anyType,
      names: fc.uniqueArray(anyWanted, { minLength: 1 }),
    }),
  },
  {
    weight: 2,
    arbitrary: fc.record({
      do: fc.constant('unsubscribe' as const),
      type: anyType,
      names: fc.uniqueArray(anyWanted, { minLength: 1 }),
    }),
  },
  { weight: 4, arbitrary: fc.constant<Step>({ do: 'take' }) },
  { weight: 3, arbitrary: fc.constant<Step>({ do: 'wait' }) },
  { weight: 1, arbitrary: fc.constant<Step>({ do: 'reconnect' }) },
);

/** Whether these are the resource's serialised bytes. */
function holds(resource: EncodedResource, value: Uint8Array): boolean {
  return resource.deltaField.subarray(-value.length).equals(value);
}

function isBad(type: TestedType, name: string, value: Uint8Array): boolean {
  return holds(make[type](name, BAD), value);
}

/** Takes the oldest response as Envoy does: what is good of it is used even if it is rejected. */
function take(client: HubClient): void {
  const response = client.inbox.shift();
  if (!response) return;
  const type = types.find((known) => known === response.typeUrl);
  if (!type) throw new Error('unexpected type');
  const bad = response.resources.filter(({ name, value }) => isBad(type, name, value));
  client.xds.take(
    response,
    bad.length > 0 ? 'bad content' : undefined,
    new Set(bad.map(({ name }) => name)),
  );
}

const LOOP = 200;

async function drain(harness: HubHarness, client: HubClient): Promise<number> {
  let taken = 0;
  // A client that came back is waited for.
  await harness.clock.advance(1_000);
  await harness.settle();
  while (client.inbox.length > 0 && taken < LOOP) {
    take(client);
    taken += 1;
  }
  return taken;
}

for (const protocol of ['delta', 'sotw'] as const satisfies ProtocolName[]) {
  test(`${protocol}: any order of changes, subscriptions, answers and reconnects ends in the cache's state`, async (t) => {
    await fc.assert(
      fc.asyncProperty(fc.array(step, { maxLength: 40 }), async (steps) => {
        const harness = new HubHarness();
        const client = harness.client(protocol);
        for (const each of steps) {
          switch (each.do) {
            case 'change': {
              const upserts = each.changes.flatMap(({ type, name, content }) =>
                content === undefined ? [] : [make[type](name, content)],
              );
              const removes = each.changes.flatMap(({ type, name, content }) =>
                content === undefined ? [{ typeUrl: type, name }] : [],
              );
              harness.cache.update(VIEW, { upserts, removes });
              break;
            }
            case 'subscribe':
              client.xds.subscribe(each.type, each.names);
              break;
            case 'unsubscribe':
              client.xds.unsubscribe(each.type, each.names);
              break;
            case 'take':
              take(client);
              break;
            case 'wait':
              await harness.settle();
              break;
            case 'reconnect':
              client.connect();
              break;
          }
        }
        if ((await drain(harness, client)) >= LOOP) throw new Error('pushed in a loop');

        let anyBad = false;
        for (const type of types) {
          const wanted = client.xds.wanted(type);
          const held = client.xds.resources(type);
          const cached = harness.cache.resources(VIEW, type);
          const includes = (name: string) => wanted.has('*') || wanted.has(name);
          for (const [name, resource] of cached) {
            if (!includes(name)) continue;
            if (resource.version === make[type](name, BAD).version) {
              anyBad = true;
              continue;
            }
            const value = held.get(name)?.value;
            if (!value || !holds(resource, value)) {
              throw new Error(`${type} ${name} is missing or old`);
            }
          }
          // Only clusters and listeners can be removed in state-of-the-world.
          const removable = protocol === 'delta' || isFullState(type);
          for (const name of held.keys()) {
            if (removable && !cached.has(name)) throw new Error(`${type} ${name} was not removed`);
          }
        }
        const states = harness.hub.nodes().flatMap((node) => node.types);
        if (states.some(({ state }) => state === 'STALE')) throw new Error('still stale');
        if (!anyBad && states.some(({ state }) => state === 'NACKED'))
          throw new Error('still nacked');

        if (anyBad) return;
        for (const type of types) {
          for (const name of harness.cache.resources(VIEW, type).keys()) {
            if (harness.hub.minAcknowledgedRevision(type, name) !== harness.cache.revision) {
              throw new Error(`${type} ${name} counts as not acknowledged`);
            }
          }
        }
        client.connect();
        await harness.clock.advance(1_000);
        for (const response of client.inbox) {
          const { typeUrl } = response;
          const wanted = client.xds.wanted(typeUrl);
          const onlyWildcard = wanted.size === 1 && wanted.has('*');
          const entitled = protocol === 'delta' || (onlyWildcard && isFullState(typeUrl));
          if (!entitled) continue;
          const known = client.xds.resources(typeUrl);
          const superfluous =
            response.resources.length > 0 || response.removed.some((name) => known.has(name));
          if (superfluous) throw new Error(`${typeUrl} was sent again after a reconnect`);
        }
      }),
      { numRuns: tries(150) },
    );
    t.pass();
  });
}
