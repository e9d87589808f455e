import test from 'ava';
import { CheckMemory } from '../../src/authz/check-memory.js';
import * as fc from 'fast-check';
import { create, fromBinary, toBinary } from '@bufbuild/protobuf';
import {
  CheckRequestSchema,
  CheckResponseSchema,
} from '#gen/envoy/service/auth/v3/external_auth_pb.js';
import { decodeCheckRequest, encodeAllowed, encodeDenied } from '../../src/authz/check-codec.js';
import { MalformedMessage } from '../../src/lib/protobuf/wire.js';
import { unpacked } from '../support/check-client.js';

const text = fc.string({ unit: 'grapheme' });
const headers = fc.array(fc.record({ name: text, value: text }), { maxLength: 8 });
const metadata = fc.dictionary(
  text.filter((name) => name !== '__proto__'),
  fc.option(text, { nil: undefined }),
  { maxKeys: 8 },
);

const { texts } = new CheckMemory();

test('reads what the generated code writes', (t) => {
  fc.assert(
    fc.property(
      fc.record({
        path: text,
        host: text,
        address: text,
        principal: text,
        certificate: text,
        headers: fc.dictionary(
          text.filter((name) => name !== '__proto__'),
          text,
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
    { numRuns: 200 },
  );
});

test('an allowed response is read by the generated code', (t) => {
  fc.assert(
    fc.property(headers, fc.array(text), metadata, fc.boolean(), (set, remove, known, traced) => {
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
    }),
    { numRuns: 200 },
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
    { numRuns: 200 },
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
    { numRuns: 500 },
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
