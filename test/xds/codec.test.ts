import { create, fromBinary, type MessageInitShape, toBinary } from '@bufbuild/protobuf';
import test from 'ava';
import * as fc from 'fast-check';
import {
  DeltaDiscoveryRequestSchema,
  DeltaDiscoveryResponseSchema,
  DiscoveryRequestSchema,
  DiscoveryResponseSchema,
} from '#gen/envoy/service/discovery/v3/discovery_pb.js';
import { delta } from '../../src/xds/delta.js';
import { type NameList, NameTable, NO_LIST } from '../../src/xds/name-lists.js';
import type { DiscoveryRequest } from '../../src/xds/protocol.js';
import { TypeUrl, decodeNode } from '../../src/xds/resource.js';
import { sotw } from '../../src/xds/sotw.js';
import { cluster } from '../support/xds-resources.js';

const text = fc.string({ unit: 'binary', maxLength: 300 });
const name = fc.string({ unit: 'grapheme', minLength: 1, maxLength: 40 });
const rejection = fc.option(fc.record({ code: fc.nat(16), message: text }), { nil: undefined });
/** An object literal cannot hold this one as a key of its own, so the message would not hold it either. */
const metadataKey = name.filter((key) => key !== '__proto__');
const node = fc.option(
  fc.record({ id: text, cluster: text, metadata: fc.dictionary(metadataKey, fc.string()) }),
  { nil: undefined },
);

const all = ({ set, wildcard }: NameList) => new Set([...set.names, ...(wildcard ? ['*'] : [])]);
const listOf = ({ names }: DiscoveryRequest) => (names.kind === 'all' ? names.list : NO_LIST);
const namesOf = ({ names }: DiscoveryRequest) =>
  names.kind === 'all' ? all(names.list) : undefined;

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
        t.deepEqual(namesOf(read), new Set(names));
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
      t.deepEqual(namesOf(request(other, '', recent)), new Set(other));
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
        t.deepEqual(all(read.names.subscribe), new Set(subscribe));
        t.deepEqual(all(read.names.unsubscribe), new Set(unsubscribe));
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
