import { Cluster_DiscoveryType, ClusterSchema } from '#gen/envoy/config/cluster/v3/cluster_pb.js';
import {
  DeltaDiscoveryRequestSchema,
  DeltaDiscoveryResponseSchema,
  DiscoveryRequestSchema,
  DiscoveryResponseSchema,
} from '#gen/envoy/service/discovery/v3/discovery_pb.js';
import { create, fromBinary, type MessageInitShape, toBinary } from '@bufbuild/protobuf';
import { anyUnpack, TimestampSchema } from '@bufbuild/protobuf/wkt';
import test from 'ava';
import * as fc from 'fast-check';
import { delta } from '../../src/xds/delta.js';
import { type NameList, NameTable, NO_LIST } from '../../src/xds/name-lists.js';
import type { DiscoveryRequest } from '../../src/xds/protocol.js';
import { ResourceCache, type ViewChange } from '../../src/xds/resource-cache.js';
import {
  decodeNode,
  encodeResource,
  PUSH_ORDER,
  StateVersion,
  TypeUrl,
} from '../../src/xds/resource.js';
import { sotw } from '../../src/xds/sotw.js';
import { anyCharacter } from '../support/any-character.js';
import { cluster, endpoints, route } from '../support/xds-resources.js';

// Resources.

test('the ready bytes are the resources field of both kinds of response', (t) => {
  const resource = cluster('spark/ns', 'x');
  const whole = fromBinary(DiscoveryResponseSchema, resource.sotwField);
  const answer = fromBinary(DeltaDiscoveryResponseSchema, resource.deltaField);
  t.is(whole.resources.length, 1);
  t.is(answer.resources.length, 1);
  t.is(answer.resources[0]?.name, 'spark/ns');
  t.is(answer.resources[0]?.version, resource.version);
  for (const any of [whole.resources[0], answer.resources[0]?.resource]) {
    t.is(any && anyUnpack(any, ClusterSchema)?.altStatName, 'x');
  }
});

test('resources longer than one varint byte are framed right', (t) => {
  const ports = Array.from({ length: 3000 }, (_, port) => port + 1);
  const resource = endpoints('spark/ns', ports);
  t.is(fromBinary(DiscoveryResponseSchema, resource.sotwField).resources.length, 1);
  t.is(fromBinary(DeltaDiscoveryResponseSchema, resource.deltaField).resources.length, 1);
});

test('versions are short hashes of name and content, the same in every process', (t) => {
  t.is(cluster('a', 'x').version, cluster('a', 'x').version);
  t.not(cluster('a', 'x').version, cluster('a', 'y').version);
  t.not(endpoints('a', []).version, endpoints('b', []).version);
  t.is(route('edge').version, 'd9a22d5bb4e86d9e');
});

test('a type that is not served is refused', (t) => {
  t.throws(() => encodeResource(TimestampSchema, 'now', create(TimestampSchema)), {
    message: /google\.protobuf\.Timestamp is not served/,
  });
});

test('an EDS cluster is warmed by its endpoints, another one by nothing', (t) => {
  t.deepEqual(cluster('a').warmedBy, { typeUrl: TypeUrl.ENDPOINTS, name: 'a' });
  const named = create(ClusterSchema, {
    name: 'a',
    clusterDiscoveryType: { case: 'type', value: Cluster_DiscoveryType.EDS },
    edsClusterConfig: { serviceName: 'service' },
  });
  t.is(encodeResource(ClusterSchema, 'a', named).warmedBy?.name, 'service');
  const fixed = create(ClusterSchema, {
    name: 'a',
    clusterDiscoveryType: { case: 'type', value: Cluster_DiscoveryType.STATIC },
  });
  t.is(encodeResource(ClusterSchema, 'a', fixed).warmedBy, undefined);
});

test('the version of a set depends on its members alone', (t) => {
  const [a, b] = [cluster('a'), cluster('b')];
  const one = new StateVersion();
  const other = new StateVersion();
  one.add(a);
  one.add(b);
  other.add(b);
  other.add(cluster('c'));
  other.add(a);
  t.not(one.toString(), other.toString());
  other.remove(cluster('c'));
  t.is(one.toString(), other.toString());
  t.regex(one.toString(), /^[0-9a-f]{16}$/);
});

test('what is referred to comes before what refers to it', (t) => {
  t.deepEqual(PUSH_ORDER, [
    TypeUrl.CLUSTER,
    TypeUrl.ENDPOINTS,
    TypeUrl.SECRET,
    TypeUrl.EXTENSION_CONFIG,
    TypeUrl.LISTENER,
    TypeUrl.ROUTE,
  ]);
});

// Their cache.

function recorded(cache: ResourceCache): ViewChange[] {
  const changes: ViewChange[] = [];
  cache.onChange((change) => changes.push(change));
  return changes;
}

test('an update tells what changed, at one revision', (t) => {
  const cache = new ResourceCache();
  const changes = recorded(cache);
  cache.update('edge', { upserts: [cluster('a'), cluster('b')] });
  const revision = cache.update('edge', {
    upserts: [cluster('a', 'new'), cluster('b')],
    removes: [
      { typeUrl: TypeUrl.CLUSTER, name: 'b' },
      { typeUrl: TypeUrl.CLUSTER, name: 'unknown' },
    ],
  });
  t.is(revision, 2);
  t.is(changes[1]?.revision, 2);
  t.deepEqual(
    changes[1]?.changes.map(({ name, before, after }) => [name, before?.version, after?.version]),
    [
      ['a', cluster('a').version, cluster('a', 'new').version],
      ['b', cluster('b').version, undefined],
    ],
  );
});

test('the same content again is no change', (t) => {
  const cache = new ResourceCache();
  const revision = cache.update('edge', { upserts: [cluster('a')] });
  const changes = recorded(cache);
  t.is(cache.update('edge', { upserts: [cluster('a')] }), revision);
  t.deepEqual(changes, []);
});

test('views do not see each other', (t) => {
  const cache = new ResourceCache();
  cache.update('one', { upserts: [cluster('a')] });
  t.is(cache.get('two', TypeUrl.CLUSTER, 'a'), undefined);
  t.is(cache.resources('two', TypeUrl.CLUSTER).size, 0);
});

test('the version of a type is that of its content, however it came about', (t) => {
  const cache = new ResourceCache();
  const empty = cache.version('edge', TypeUrl.CLUSTER);
  cache.update('edge', { upserts: [cluster('a'), cluster('b')] });
  cache.update('other', { upserts: [cluster('b', 'old'), cluster('c')] });
  cache.update('other', {
    upserts: [cluster('a'), cluster('b')],
    removes: [{ typeUrl: TypeUrl.CLUSTER, name: 'c' }],
  });
  t.is(cache.version('edge', TypeUrl.CLUSTER), cache.version('other', TypeUrl.CLUSTER));
  cache.update('edge', { removes: [cluster('a'), cluster('b')] });
  t.is(cache.version('edge', TypeUrl.CLUSTER), empty);
});

// The codec.

const text = fc.string({ unit: anyCharacter, maxLength: 300 });
const name = fc.string({ unit: 'grapheme', minLength: 1, maxLength: 40 });
const rejection = fc.option(fc.record({ code: fc.nat(16), message: text }), { nil: undefined });
/** An object literal cannot hold this one as a key of its own, so the message would not hold it either. */
const metadataKey = name.filter((key) => key !== '__proto__');
const node = fc.option(
  fc.record({ id: text, cluster: text, metadata: fc.dictionary(metadataKey, fc.string()) }),
  { nil: undefined },
);

/** In no order that tells anything. */
const all = ({ set, wildcard }: NameList) => [...set.names, ...(wildcard ? ['*'] : [])].toSorted();
const listOf = ({ names }: DiscoveryRequest) => (names.kind === 'all' ? names.list : NO_LIST);
const namesOf = ({ names }: DiscoveryRequest) => (names.kind === 'all' ? all(names.list) : []);

function bytesOf(
  schema: typeof DiscoveryRequestSchema,
  message: MessageInitShape<typeof DiscoveryRequestSchema>,
): Buffer {
  return Buffer.from(toBinary(schema, create(schema, message)));
}

test('state-of-the-world requests read as the generated code wrote them', (t) => {
  fc.assert(
    fc.property(
      fc.array(name, { maxLength: 60 }),
      text,
      text,
      text,
      rejection,
      node,
      (names, versionInfo, typeUrl, responseNonce, error, sender) => {
        const bytes = bytesOf(DiscoveryRequestSchema, {
          resourceNames: names,
          versionInfo,
          typeUrl,
          responseNonce,
          ...(error ? { errorDetail: error } : {}),
          ...(sender ? { node: sender } : {}),
        });
        const read = sotw.decode(bytes, new NameTable(), []);
        t.deepEqual(namesOf(read), [...new Set(names)].toSorted());
        t.deepEqual(read.known, { kind: 'whole', version: versionInfo });
        t.is(read.typeUrl, typeUrl);
        t.is(read.nonce, responseNonce);
        t.deepEqual(read.rejection, error);
        t.deepEqual(read.node && decodeNode(read.node), sender);
      },
    ),
  );
});

test('a list that comes again is not decoded again, and a longer or shorter one is not taken for it', (t) => {
  const table = new NameTable();
  const names = Array.from({ length: 500 }, (_, i) => `spark/namespace-${i}`);
  const request = (resourceNames: string[], responseNonce: string, recent: NameList[] = []) => {
    const content = { resourceNames, responseNonce, typeUrl: 'x' };
    return sotw.decode(bytesOf(DiscoveryRequestSchema, content), table, recent);
  };
  const held = table.hold(listOf(request(names, '1')));
  for (const recent of [[held], []]) {
    const again = request(names, '2', recent);
    t.is(again.nonce, '2');
    t.is(again.typeUrl, 'x');
    t.is(listOf(again), held);
    for (const other of [[...names, 'more'], names.slice(1), names.slice(0, -1)]) {
      t.deepEqual(namesOf(request(other, '', recent)), other.toSorted());
    }
  }
});

test('incremental requests read as the generated code wrote them', (t) => {
  fc.assert(
    fc.property(
      fc.array(name, { maxLength: 20 }),
      fc.array(name, { maxLength: 20 }),
      fc.dictionary(name, text),
      text,
      text,
      rejection,
      (subscribe, unsubscribe, versions, typeUrl, responseNonce, error) => {
        const message = create(DeltaDiscoveryRequestSchema, {
          resourceNamesSubscribe: subscribe,
          resourceNamesUnsubscribe: unsubscribe,
          initialResourceVersions: versions,
          typeUrl,
          responseNonce,
          ...(error ? { errorDetail: error } : {}),
        });
        const bytes = Buffer.from(toBinary(DeltaDiscoveryRequestSchema, message));
        const read = delta.decode(bytes, new NameTable(), []);
        if (read.names.kind !== 'changes') return t.fail();
        t.deepEqual(all(read.names.subscribe), [...new Set(subscribe)].toSorted());
        t.deepEqual(all(read.names.unsubscribe), [...new Set(unsubscribe)].toSorted());
        t.deepEqual(read.known, { kind: 'each', versions: new Map(Object.entries(versions)) });
        t.is(read.typeUrl, typeUrl);
        t.is(read.nonce, responseNonce);
        t.deepEqual(read.rejection, error);
      },
    ),
  );
});

test('bytes that are no request are refused, never read past', (t) => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 200 }), (bytes) => {
      for (const protocol of [sotw, delta]) {
        try {
          protocol.decode(Buffer.from(bytes), new NameTable(), []);
        } catch (error) {
          t.true(error instanceof Error);
        }
      }
    }),
  );
  t.throws(() => delta.decode(Buffer.from([0x0a, 0x7f]), new NameTable(), []), {
    instanceOf: RangeError,
  });
});

test('responses read by the generated code as they were meant', (t) => {
  const response = {
    typeUrl: TypeUrl.CLUSTER,
    version: 'v',
    nonce: '1z',
    removed: ['c', 'd'],
  } as const;
  const [a, b] = [cluster('a'), cluster('b')];
  const increment = fromBinary(
    DeltaDiscoveryResponseSchema,
    delta.encode({ ...response, resources: [a.deltaField, b.deltaField] }),
  );
  t.deepEqual(
    increment.resources.map(({ name: of, version }) => [of, version]),
    [
      ['a', a.version],
      ['b', b.version],
    ],
  );
  t.deepEqual(increment.removedResources, ['c', 'd']);
  t.is(increment.systemVersionInfo, 'v');
  const state = fromBinary(
    DiscoveryResponseSchema,
    sotw.encode({ ...response, resources: [a.sotwField, b.sotwField] }),
  );
  t.is(state.resources.length, 2);
  for (const message of [increment, state]) {
    t.is(message.nonce, '1z');
    t.is(message.typeUrl, TypeUrl.CLUSTER);
  }
  t.is(state.versionInfo, 'v');
});
