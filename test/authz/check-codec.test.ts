import { readFileSync } from 'node:fs';
import { gzipSync } from 'node:zlib';
import {
  CheckRequestSchema,
  CheckResponseSchema,
} from '#gen/envoy/service/auth/v3/external_auth_pb.js';
import { create, fromBinary, toBinary } from '@bufbuild/protobuf';
import test from 'ava';
import * as fc from 'fast-check';
import { encodeDecision } from '../../src/authz/authz-server.js';
import { decodeCheckRequest, encodeAllowed, encodeDenied } from '../../src/authz/check-codec.js';
import { CheckMemory } from '../../src/authz/check-memory.js';
import { readConfigRequest } from '../../src/authz/config-request.js';
import { messagePrefix } from '../../src/authz/request.js';
import { allowedResponse, deniedResponse, type Metadata } from '../../src/authz/response.js';
import { MalformedMessage } from '../../src/lib/protobuf/wire.js';
import type { Assignment } from '../../src/model/assignment.js';
import { GatewayError } from '../../src/model/errors.js';
import { AccessMetadata } from '../../src/model/names.js';
import { unpacked } from '../support/check-client.js';
import { tries } from '../support/tries.js';
import { encode, frame } from '../support/spark-messages.js';

// What Envoy asks.

const anyText = fc.string({ unit: 'grapheme' });
const headers = fc.array(fc.record({ name: anyText, value: anyText }), { maxLength: 8 });
const metadata = fc.dictionary(
  anyText.filter((name) => name !== '__proto__'),
  fc.option(anyText, { nil: undefined }),
  { maxKeys: 8 },
);

const { texts } = new CheckMemory();

test('reads what the generated code writes', (t) => {
  fc.assert(
    fc.property(
      fc.record({
        path: anyText,
        host: anyText,
        address: anyText,
        principal: anyText,
        certificate: anyText,
        headers: fc.dictionary(
          anyText.filter((name) => name !== '__proto__'),
          anyText,
        ),
        body: fc.uint8Array({ maxLength: 2000 }),
        size: fc.bigInt({ min: -1n, max: 1n << 40n }),
        port: fc.nat(65535),
      }),
      (fields) => {
        const bytes = toBinary(
          CheckRequestSchema,
          create(CheckRequestSchema, {
            attributes: {
              source: {
                address: {
                  address: {
                    case: 'socketAddress',
                    value: {
                      address: fields.address,
                      portSpecifier: { case: 'portValue', value: fields.port },
                    },
                  },
                },
                principal: fields.principal,
                certificate: fields.certificate,
              },
              destination: { principal: 'the gateway itself' },
              request: {
                time: { seconds: 1n, nanos: 2 },
                http: {
                  id: '42',
                  method: 'POST',
                  headers: fields.headers,
                  path: fields.path,
                  host: fields.host,
                  size: fields.size,
                  protocol: 'HTTP/2',
                  rawBody: fields.body,
                },
              },
              contextExtensions: { some: 'thing' },
              tlsSession: { sni: 'gateway' },
            },
          }),
        );
        const decoded = decodeCheckRequest(Buffer.from(bytes), texts);
        t.is(decoded.path, fields.path);
        t.is(decoded.host, fields.host);
        t.is(decoded.sourceAddress, fields.address);
        t.is(decoded.peerPrincipal, fields.principal);
        t.is(decoded.peerCertificate, fields.certificate);
        const names = [...decoded.headers.keys()];
        t.deepEqual(Object.fromEntries(names.map((name) => [name, decoded.headers.get(name)])), {
          ...fields.headers,
        });
        t.deepEqual(Buffer.from(decoded.body), Buffer.from(fields.body));
      },
    ),
    { numRuns: tries(200) },
  );
});

test('an allowed response is read by the generated code', (t) => {
  fc.assert(
    fc.property(
      headers,
      fc.array(anyText),
      metadata,
      fc.boolean(),
      (set, remove, known, traced) => {
        const response = fromBinary(
          CheckResponseSchema,
          encodeAllowed({ set, remove, metadata: known, ...(traced && { traced }) }),
        );
        t.is(response.status?.code, 0);
        if (response.httpResponse.case !== 'okResponse') throw new Error('not allowed');
        const ok = response.httpResponse.value;
        t.deepEqual(
          ok.headers.map(({ header }) => ({ name: header?.key, value: header?.value })),
          set,
        );
        t.true(ok.headers.every(({ appendAction }) => appendAction === 2));
        t.deepEqual(ok.headersToRemove, remove);
        const found = response.dynamicMetadata ?? {};
        t.deepEqual(traced ? { ...found } : unpacked(found), defined(known));
      },
    ),
    { numRuns: tries(200) },
  );
});

test('a denied response is read by the generated code', (t) => {
  fc.assert(
    fc.property(
      headers,
      metadata,
      fc.nat(16),
      fc.nat(599),
      (set, known, grpcStatus, httpStatus) => {
        const response = fromBinary(
          CheckResponseSchema,
          encodeDenied({ set, metadata: known, grpcStatus, httpStatus }),
        );
        t.is(response.status?.code, grpcStatus);
        if (response.httpResponse.case !== 'deniedResponse') throw new Error('not denied');
        const denied = response.httpResponse.value;
        t.is(denied.status?.code, httpStatus);
        t.deepEqual(
          denied.headers.map(({ header }) => ({ name: header?.key, value: header?.value })),
          set,
        );
        t.deepEqual({ ...response.dynamicMetadata }, defined(known));
      },
    ),
    { numRuns: tries(200) },
  );
});

test('bytes that are no message are refused and nothing else', (t) => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 200 }), (bytes) => {
      try {
        decodeCheckRequest(Buffer.from(bytes), texts);
      } catch (error) {
        t.true(error instanceof MalformedMessage);
      }
    }),
    { numRuns: tries(200) },
  );
  t.pass();
});

test('a response larger than the writer starts with is written whole', (t) => {
  const value = 'é'.repeat(10_000);
  const bytes = encodeAllowed({ set: [{ name: 'a', value }], remove: [], metadata: { b: value } });
  const response = fromBinary(CheckResponseSchema, bytes);
  t.is(unpacked(response.dynamicMetadata ?? {})['b'], value);
});

function defined(record: Record<string, string | undefined>): Record<string, string> {
  return Object.fromEntries(
    Object.entries(record).filter((entry): entry is [string, string] => entry[1] !== undefined),
  );
}

// What is asked of the handler.

test('an answer that is kept for as long as its session keeps no more than its own bytes', (t) => {
  const memory = new CheckMemory();
  const response = {
    set: [{ name: 'x-spark-cluster', value: 'spark/sjns-data-prod' }],
    remove: [],
    metadata: { session: 'session-1' },
  };
  const encoded = encodeDecision({ allowed: true, response }, memory);
  t.is(encodeDecision({ allowed: true, response }, memory), encoded, 'it is kept');
  t.is(encoded.buffer.byteLength, encoded.length);
});

// What Envoy is answered.

function assignment(driverToken: string | undefined): Assignment {
  return {
    sessionId: '0b6c6a3e-7c1d-4a55-9a3c-5d0d3c1f2e10',
    principal: { issuer: 'https://issuer.example', subject: 'ann' },
    driverUid: 'driver-1',
    cluster: 'spark/sjns-data-prod',
    address: '10.1.2.3:15002',
    driverToken,
    team: 'data',
    environment: 'prod',
    namespace: 'sjns-data-prod',
    cacheTtlMs: 60_000,
  };
}

/** Few values, so that requests are often alike. */
const value = fc.constantFrom('a', 'b', undefined);
const anyMetadata: fc.Arbitrary<Metadata> = fc.record(
  Object.fromEntries(Object.values(AccessMetadata).map((key) => [key, value])),
  { requiredKeys: [] },
);
const anyHeaders = fc.uniqueArray(
  fc.constantFrom('authorization', 'authentication', 'user-agent', 'x-spark-pin', 'x-spark-else'),
);
const user = fc.constantFrom('ann', 'bob', '');
const anyRequests = fc.array(
  fc.record({ metadata: anyMetadata, headers: anyHeaders, user, driver: fc.nat(1) }),
  {
    maxLength: 30,
  },
);

const memory = new CheckMemory();

test('an answer like the one before it is made of the same bytes, and of the right ones', (t) => {
  fc.assert(
    fc.property(anyRequests, (all) => {
      const drivers = [assignment(undefined), assignment('a secret')];
      for (const { metadata: known, headers: names, user: userId, driver } of all) {
        const client = new Map(names.map((name) => [name, 'x']));
        const remembered = drivers[driver] ?? assignment(undefined);
        const respond = (to: Assignment) =>
          encodeDecision(
            {
              allowed: true,
              response: allowedResponse(to, userId, client, known, memory.responses),
            },
            memory,
          );
        const answer = respond(remembered);
        t.deepEqual(answer, respond({ ...remembered }));
        t.is(respond(remembered), answer);
      }
    }),
    { numRuns: tries(200) },
  );
  t.pass();
});

test('the driver is told which session and user were checked, whatever characters they have', (t) => {
  for (const userId of ['ann', '', 'Ännchen, "A" %\n', '用户']) {
    const { set } = allowedResponse(assignment(undefined), userId, new Map(), {}, memory.responses);
    const stamp = set.find(({ name }) => name === 'x-spark-identity')?.value ?? '';
    t.regex(stamp, /^[\w+/=]+$/);
    t.is(Buffer.from(stamp, 'base64').toString(), `0b6c6a3e-7c1d-4a55-9a3c-5d0d3c1f2e10/${userId}`);
  }
});

for (const [what, text] of [
  [
    'a stack of an operator',
    'java.lang.IllegalStateException: no\n\tat a.b.C(D.java:1)\n'.repeat(300),
  ],
  ['letters that are encoded', 'ÄÖÜ日本語%😀'.repeat(2_000)],
  ['half a character', '\ud83d'.repeat(5_000)],
] as const) {
  test(`a refusal stays below 4 KiB, whatever it quotes: ${what}`, (t) => {
    const error = new GatewayError('DRIVER_START_FAILED', text, { retryAfterMs: 1_000 });
    const { set, grpcStatus } = deniedResponse(error, {});
    const bytes = set.reduce((sum, header) => sum + header.name.length + header.value.length, 0);
    t.true(bytes < 4_096, `${bytes} bytes`);
    t.is(grpcStatus, error.status);
  });
}

// Config requests.

const SESSION = '0b6c6a3e-7c1d-4a55-9a3c-5d0d3c1f2e10';
const { inflater } = new CheckMemory();
const readConfig = (body: Buffer, encoding?: string) =>
  readConfigRequest(messagePrefix(body, encoding, inflater));
const nothing = { reads: [], writes: [], lists: [], whole: true };
const expected: Readonly<Record<string, object>> = {
  set: { ...nothing, writes: ['spark.a', 'spark.b'] },
  get: { ...nothing, reads: ['spark.a', 'spark.b'] },
  get_with_default: { ...nothing, reads: ['spark.a', 'spark.b'] },
  get_option: { ...nothing, reads: ['spark.a'] },
  get_all: { ...nothing, lists: [''] },
  'get_all with a prefix': { ...nothing, lists: ['spark.sql'] },
  unset: { ...nothing, writes: ['spark.a'] },
  is_modifiable: nothing,
};

for (const version of ['3.5', '4.3']) {
  const path = new URL(`../../../test/authz/fixtures/config-${version}.json`, import.meta.url);
  const requests = JSON.parse(readFileSync(path, 'utf8')) as Record<string, string>;
  for (const [name, hex] of Object.entries(requests)) {
    test(`reads ${name} as PySpark ${version} sends it, compressed too`, (t) => {
      const message = Buffer.from(hex, 'hex');
      t.deepEqual(readConfig(frame(message)), expected[name]);
      t.deepEqual(readConfig(frame(gzipSync(message), true), 'gzip'), expected[name]);
    });
  }
}

const head = [
  [1, SESSION],
  [2, encode([1, 'ann'])],
] as const;
const get = (...keys: string[]) => encode([2, encode(...keys.map((key) => [1, key] as const))]);

test('every operation counts, wherever a parser would take the last', (t) => {
  const set = encode([1, encode([1, encode([1, 'spark.b'], [2, 'x'])])]);
  const body = frame(encode(...head, [3, get('spark.a')], [3, set]));
  t.deepEqual(readConfig(body), {
    ...nothing,
    reads: ['spark.a'],
    writes: ['spark.b'],
  });
});

test('what is cut off is not taken for all of it, and a key that is cut is left out', (t) => {
  const keys = Array.from({ length: 400 }, (_, i) => `spark.key.number.${i}`);
  const body = frame(encode(...head, [3, get(...keys)]));
  const { reads, whole } = readConfig(body.subarray(0, 4096));
  t.false(whole);
  t.true(reads.length > 40);
  t.deepEqual(reads, keys.slice(0, reads.length));
});

test('an operation of a later version may do anything', (t) => {
  const body = frame(encode(...head, [3, encode([9, 'spark.a'])]));
  t.false(readConfig(body).whole);
});

test('a beginning of a request says nothing that the whole does not say', (t) => {
  const key = fc.constantFrom('spark.a', 'spark.b.c', 'x'.repeat(300));
  const keys = fc.array(key, { maxLength: 6 });
  fc.assert(
    fc.property(keys, fc.nat({ max: 1200 }), (all, cut) => {
      const whole = frame(encode(...head, [3, get(...all)], [4, 'client']));
      const prefix = whole.subarray(0, Math.max(5, cut));
      const found = readConfig(prefix);
      t.deepEqual(found.reads, all.slice(0, found.reads.length));
      t.is(found.whole, prefix.length === whole.length);
      if (found.whole) t.deepEqual(found.reads, all);
    }),
  );
});

test('what cannot be read may do anything', (t) => {
  const body = frame(encode(...head, [3, Buffer.from([0xff, 0xff])]));
  t.deepEqual(readConfig(body), { ...nothing, whole: false });
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 60 }), (bytes) => {
      t.notThrows(() => readConfig(frame(bytes)));
    }),
  );
});
