/**
 * Whatever clients and operators do, in whatever order: in the end a client has what the cache holds
 * of what it wants, a rejected version is not sent in a loop, and one that comes back is sent nothing
 * that it has.
 */
import test from 'ava';
import * as fc from 'fast-check';
import { type EncodedResource, isFullState, TypeUrl } from '../../src/xds/resource.js';
import type { ProtocolName } from '../support/xds-client.js';
import { type HubClient, HubHarness, VIEW } from '../support/xds-hub.js';
import { cluster, endpoints, listener, route } from '../support/xds-resources.js';

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
      { numRuns: 500 },
    );
    t.pass();
  });
}
