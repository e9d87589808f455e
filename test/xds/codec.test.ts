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
import { TypeUrl, decodeNode } from '../../src/xds/resource.js';
import { createSotw } from '../../src/xds/sotw.js';
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

function bytesOf(
  schema: typeof DiscoveryRequestSchema,
  message: MessageInitShape<typeof DiscoveryRequestSchema>,
): Buffer {
  return Buffer.from(toBinary(schema, create(schema, message)));
}

test('state-of-the-world requests read as the generated code wrote them', (t) => {
  const sotw = createSotw();
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
        const read = sotw.decode(bytes);
        t.deepEqual(read.names, { kind: 'all', names: new Set(names) });
        t.deepEqual(read.known, { kind: 'whole', version: versionInfo });
        t.is(read.typeUrl, typeUrl);
        t.is(read.nonce, responseNonce);
        t.deepEqual(read.rejection, error);
        t.deepEqual(read.node && decodeNode(read.node), sender);
      },
    ),
  );
});

test('the same long list of names is decoded once, and a longer one is not taken for it', (t) => {
  const sotw = createSotw();
  const list = Array.from({ length: 500 }, (_, i) => `spark/namespace-${i}`);
  const request = (resourceNames: string[], responseNonce: string) =>
    sotw.decode(bytesOf(DiscoveryRequestSchema, { resourceNames, responseNonce, typeUrl: 'x' }));
  const first = request(list, '1');
  const again = request(list, '2');
  t.is(again.nonce, '2');
  t.is(again.typeUrl, 'x');
  const setOf = ({ names }: typeof first) => (names.kind === 'all' ? names.names : undefined);
  t.is(setOf(again), setOf(first));
  t.deepEqual(request([...list, 'more'], '').names, {
    kind: 'all',
    names: new Set([...list, 'more']),
  });
  t.deepEqual(request(list.slice(1), '').names, { kind: 'all', names: new Set(list.slice(1)) });
  t.deepEqual(request(list.slice(0, -1), '').names, {
    kind: 'all',
    names: new Set(list.slice(0, -1)),
  });
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
        const read = delta.decode(Buffer.from(toBinary(DeltaDiscoveryRequestSchema, message)));
        t.deepEqual(read.names, { kind: 'changes', subscribe, unsubscribe });
        t.deepEqual(read.known, { kind: 'each', versions: new Map(Object.entries(versions)) });
        t.is(read.typeUrl, typeUrl);
        t.is(read.nonce, responseNonce);
        t.deepEqual(read.rejection, error);
      },
    ),
  );
});

test('bytes that are no request are refused, never read past', (t) => {
  const sotw = createSotw();
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 200 }), (bytes) => {
      for (const protocol of [sotw, delta]) {
        try {
          protocol.decode(Buffer.from(bytes));
        } catch (error) {
          t.true(error instanceof Error);
        }
      }
    }),
  );
  t.throws(() => delta.decode(Buffer.from([0x0a, 0x7f])), { instanceOf: RangeError });
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
    createSotw().encode({ ...response, resources: [a.sotwField, b.sotwField] }),
  );
  t.is(state.resources.length, 2);
  for (const message of [increment, state]) {
    t.is(message.nonce, '1z');
    t.is(message.typeUrl, TypeUrl.CLUSTER);
  }
  t.is(state.versionInfo, 'v');
});
