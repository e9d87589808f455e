/** What a relay remembers of an Envoy, and what it gives to one that starts. */
import { create, fromBinary, toBinary } from '@bufbuild/protobuf';
import test from 'ava';
import { assert, integer, nat, property } from 'fast-check';
import {
  DeltaDiscoveryRequestSchema,
  DeltaDiscoveryResponseSchema,
} from '#gen/envoy/service/discovery/v3/discovery_pb.js';
import {
  KeptAnswers,
  decodeSnapshot,
  encodeSnapshot,
} from '../../../src/xds/relay/kept-configuration.js';
import { Recorder, type Snapshot } from '../../../src/xds/relay/recorder.js';
import { delta } from '../../../src/xds/delta.js';
import { type EncodedResource, TypeUrl } from '../../../src/xds/resource.js';
import { tries } from '../../support/tries.js';
import { cluster, endpoints, listener, secret } from '../../support/xds-resources.js';

interface Asked {
  readonly subscribe?: readonly string[];
  readonly unsubscribe?: readonly string[];
  readonly known?: Readonly<Record<string, string>>;
  readonly nonce?: string;
  readonly rejected?: boolean;
}

function request(typeUrl: string, asked: Asked = {}): Buffer {
  const message = create(DeltaDiscoveryRequestSchema, {
    typeUrl,
    resourceNamesSubscribe: [...(asked.subscribe ?? [])],
    resourceNamesUnsubscribe: [...(asked.unsubscribe ?? [])],
    initialResourceVersions: { ...asked.known },
    responseNonce: asked.nonce ?? '',
    ...(asked.rejected ? { errorDetail: { code: 13, message: 'no' } } : {}),
  });
  return Buffer.from(toBinary(DeltaDiscoveryRequestSchema, message));
}

let nonces = 0;

/** Sends resources through the recorder and has Envoy accept or reject them. */
function deliver(
  recorder: Recorder,
  typeUrl: TypeUrl,
  resources: readonly EncodedResource[],
  { removed = [], rejected = false }: { removed?: readonly string[]; rejected?: boolean } = {},
): void {
  const nonce = String(++nonces);
  const response = delta.encode({
    typeUrl,
    version: '1',
    nonce,
    resources: resources.map(({ deltaField }) => deltaField),
    removed,
  });
  recorder.response(response);
  recorder.request(request(typeUrl, { nonce, rejected }));
}

function names(snapshot: Snapshot | undefined, typeUrl: string): readonly string[] | undefined {
  return snapshot && [...(snapshot.get(typeUrl)?.keys() ?? [])].toSorted();
}

/** A recorder of an Envoy that has one cluster with its endpoints and a listener. */
function settled(): Recorder {
  const recorder = new Recorder(undefined);
  recorder.request(request(TypeUrl.CLUSTER));
  deliver(recorder, TypeUrl.CLUSTER, [cluster('a')]);
  recorder.request(request(TypeUrl.ENDPOINTS, { subscribe: ['a'] }));
  deliver(recorder, TypeUrl.ENDPOINTS, [endpoints('a', [1])]);
  recorder.request(request(TypeUrl.LISTENER));
  deliver(recorder, TypeUrl.LISTENER, [listener('front')]);
  return recorder;
}

test('nothing is kept before Envoy has everything that it asked for', (t) => {
  const recorder = new Recorder(undefined);
  recorder.request(request(TypeUrl.CLUSTER));
  deliver(recorder, TypeUrl.CLUSTER, [cluster('a')]);
  recorder.request(request(TypeUrl.LISTENER));
  deliver(recorder, TypeUrl.LISTENER, [listener('front')]);
  recorder.request(request(TypeUrl.SECRET, { subscribe: ['certificate'] }));
  t.is(recorder.snapshot(), undefined);
  deliver(recorder, TypeUrl.SECRET, [secret('certificate', 'pem')]);
  t.deepEqual(names(recorder.snapshot(), TypeUrl.SECRET), ['certificate']);
});

test('what Envoy rejects is not kept; what it had stays', (t) => {
  const recorder = settled();
  const before = recorder.snapshot()?.get(TypeUrl.ENDPOINTS)?.get('a')?.version;
  deliver(recorder, TypeUrl.ENDPOINTS, [endpoints('a', [2])], { rejected: true });
  t.is(recorder.snapshot()?.get(TypeUrl.ENDPOINTS)?.get('a')?.version, before);
});

test('what Envoy rejects for good does not keep newer states of the rest from being kept', (t) => {
  const recorder = new Recorder(undefined);
  recorder.request(request(TypeUrl.CLUSTER));
  deliver(recorder, TypeUrl.CLUSTER, [cluster('a'), cluster('bad')], { rejected: true });
  t.is(recorder.snapshot(), undefined, 'which of the two is not known yet');
  deliver(recorder, TypeUrl.CLUSTER, [cluster('a')]);
  recorder.request(request(TypeUrl.ENDPOINTS, { subscribe: ['a', 'never good'] }));
  deliver(recorder, TypeUrl.ENDPOINTS, [endpoints('a', [1])]);
  recorder.request(request(TypeUrl.LISTENER));
  deliver(recorder, TypeUrl.LISTENER, [listener('front')]);
  t.is(recorder.snapshot(), undefined, 'the bad cluster has not been sent by itself');
  deliver(recorder, TypeUrl.CLUSTER, [cluster('bad')], { rejected: true });
  deliver(recorder, TypeUrl.ENDPOINTS, [endpoints('never good', [1])], { rejected: true });
  t.deepEqual(names(recorder.snapshot(), TypeUrl.CLUSTER), ['a']);
  deliver(recorder, TypeUrl.ENDPOINTS, [endpoints('a', [2])]);
  t.is(recorder.snapshot()?.get(TypeUrl.ENDPOINTS)?.get('a')?.version, endpoints('a', [2]).version);
});

test('what is removed or no longer asked for is not kept, a private key above all', (t) => {
  const recorder = settled();
  recorder.request(request(TypeUrl.SECRET, { subscribe: ['key'] }));
  deliver(recorder, TypeUrl.SECRET, [secret('key', 'pem')]);
  t.deepEqual(names(recorder.snapshot(), TypeUrl.SECRET), ['key']);
  recorder.request(request(TypeUrl.SECRET, { unsubscribe: ['key'] }));
  t.deepEqual(names(recorder.snapshot(), TypeUrl.SECRET), []);
  deliver(recorder, TypeUrl.CLUSTER, [], { removed: ['a'] });
  t.deepEqual(names(recorder.snapshot(), TypeUrl.CLUSTER), []);
});

test('an Envoy that comes back with what is known here is passed on byte by byte', (t) => {
  const snapshot = settled().snapshot();
  const recorder = new Recorder(snapshot);
  for (const [typeUrl, resources] of snapshot ?? []) {
    const known = Object.fromEntries([...resources].map(([name, { version }]) => [name, version]));
    const subscribe = typeUrl === TypeUrl.ENDPOINTS ? ['a'] : [];
    const bytes = request(typeUrl, { known, subscribe });
    t.deepEqual(recorder.request(bytes), bytes);
  }
  t.deepEqual(recorder.snapshot(), snapshot);
});

test('content that is not known here is asked for again, and nothing is kept until it has come', (t) => {
  const recorder = new Recorder(undefined);
  const known = { front: listener('front').version };
  recorder.request(request(TypeUrl.CLUSTER));
  deliver(recorder, TypeUrl.CLUSTER, []);
  const passed = recorder.request(request(TypeUrl.LISTENER, { known }));
  t.deepEqual(fromBinary(DeltaDiscoveryRequestSchema, passed).initialResourceVersions, {});
  t.is(recorder.snapshot(), undefined);
  deliver(recorder, TypeUrl.LISTENER, [listener('front')]);
  t.deepEqual(names(recorder.snapshot(), TypeUrl.LISTENER), ['front']);
});

test('bytes that are no message are a RangeError', (t) => {
  t.throws(() => new Recorder(undefined).request(Buffer.from([0x0a])), { instanceOf: RangeError });
  t.throws(() => new Recorder(undefined).response(Buffer.from([0xff])), {
    instanceOf: RangeError,
  });
});

function answer(answers: KeptAnswers, bytes: Buffer) {
  const answered = answers.answer(bytes);
  if (!answered) return undefined;
  const { resources, removedResources } = fromBinary(DeltaDiscoveryResponseSchema, answered);
  return { sent: resources.map(({ name }) => name), removed: removedResources };
}

test('an Envoy that starts is given everything, each thing once', (t) => {
  const answers = new KeptAnswers(settled().snapshot() ?? new Map());
  t.deepEqual(answer(answers, request(TypeUrl.CLUSTER)), { sent: ['a'], removed: [] });
  t.is(answer(answers, request(TypeUrl.CLUSTER, { nonce: '1' })), undefined);
  t.deepEqual(answer(answers, request(TypeUrl.ENDPOINTS, { subscribe: ['a', 'b'] })), {
    sent: ['a'],
    removed: ['b'],
  });
});

test('an Envoy that runs keeps what it has, also what is not kept or kept in another version', (t) => {
  const answers = new KeptAnswers(settled().snapshot() ?? new Map());
  const known = { a: 'newer', b: 'newer' };
  t.is(answer(answers, request(TypeUrl.CLUSTER, { known })), undefined);
  t.is(answer(answers, request(TypeUrl.ENDPOINTS, { subscribe: ['a', 'b'], known })), undefined);
});

test('a snapshot survives the disk, and no damaged one is read', (t) => {
  const snapshot = settled().snapshot() ?? new Map();
  const bytes = encodeSnapshot(snapshot);
  t.deepEqual(decodeSnapshot(bytes), snapshot);
  assert(
    property(nat(bytes.length - 1), integer({ min: 1, max: 255 }), (at, flip) => {
      const damaged = Buffer.from(bytes);
      damaged[at] = (damaged[at] ?? 0) ^ flip;
      t.throws(() => decodeSnapshot(damaged), { instanceOf: RangeError });
      t.throws(() => decodeSnapshot(bytes.subarray(0, at)), { instanceOf: RangeError });
    }),
    { numRuns: tries(50) },
  );
});
