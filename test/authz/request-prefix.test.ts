import { readFileSync } from 'node:fs';
import { deflateSync, gzipSync, gunzipSync } from 'node:zlib';
import test from 'ava';
import * as fc from 'fast-check';
import { create, fromBinary, toBinary } from '@bufbuild/protobuf';
import {
  sparkMethod,
  type SparkMethod,
  messagePrefix,
  readSparkRequest,
  type SparkRequest,
} from '../../src/authz/request.js';
import { CheckMemory } from '../../src/authz/check-memory.js';
import { GatewayError } from '../../src/model/errors.js';
import { tries } from '../support/tries.js';
import { CloneRequestDesc, encode, frame, RequestDesc } from '../support/spark-messages.js';

const SESSION = '0b6c6a3e-7c1d-4a55-9a3c-5d0d3c1f2e10';
const NEW_SESSION = '7d1f2e10-7c1d-4a55-9a3c-0b6c6a3e5d0d';

function method(name: string): SparkMethod {
  const found = sparkMethod(`/spark.connect.SparkConnectService/${name}`);
  if (!found) throw new Error(`no method ${name}`);
  return found;
}
const ExecutePlan = method('ExecutePlan');
const CloneSession = method('CloneSession');
const ReleaseSession = method('ReleaseSession');

const memory = new CheckMemory();

function readOrThrow(body: Buffer, of: SparkMethod, encoding?: string): SparkRequest {
  return readSparkRequest(messagePrefix(body, encoding, memory.inflater), of, memory.ids);
}

/** The request, or the code it was refused with; anything else that is thrown fails the test. */
function read(body: Buffer, of: SparkMethod, encoding?: string): SparkRequest | string {
  try {
    return readOrThrow(body, of, encoding);
  } catch (error) {
    if (error instanceof GatewayError) return error.code;
    throw error;
  }
}

function fixture(version: string): Record<string, string> {
  const path = new URL(`../../../test/authz/fixtures/requests-${version}.json`, import.meta.url);
  return JSON.parse(readFileSync(path, 'utf8')) as Record<string, string>;
}

for (const version of ['3.5', '4.3']) {
  for (const [name, hex] of Object.entries(fixture(version))) {
    test(`reads ${name} as PySpark ${version} sends it`, (t) => {
      t.deepEqual(read(frame(Buffer.from(hex, 'hex')), method(name)), {
        sessionId: SESSION,
        userId: 'ann@example.com',
        newSessionId: name === 'CloneSession' ? NEW_SESSION : undefined,
        allowReconnect: name === 'ReleaseSession' && version !== '3.5',
        messageBytes: hex.length / 2,
      });
    });
  }
}

test('a plan of any size is read from its first bytes', (t) => {
  const whole = frame(encode([1, SESSION], [2, encode([1, 'ann'])], [3, Buffer.alloc(1 << 20)]));
  t.like(read(whole.subarray(0, 4096), ExecutePlan), { sessionId: SESSION, userId: 'ann' });
});

test('only the first of several messages of a stream counts', (t) => {
  const first = frame(encode([1, SESSION], [2, encode([1, 'ann'])]));
  const second = frame(encode([1, NEW_SESSION], [2, encode([1, 'bob'])]));
  t.like(read(Buffer.concat([first, second]), ExecutePlan), { sessionId: SESSION, userId: 'ann' });
});

const OTHER = NEW_SESSION;
const id = encode([1, SESSION]);
const user = encode([2, encode([1, 'ann'])]);
/** Each of them says twice whose session it is, or hides it from one of two parsers. */
const twice: Record<string, Buffer> = {
  'a session id': Buffer.concat([id, user, encode([1, OTHER])]),
  'a session id right behind itself': Buffer.concat([id, encode([1, OTHER]), user]),
  'an equal session id': Buffer.concat([id, user, id]),
  'an empty session id': Buffer.concat([id, user, encode([1, ''])]),
  'a user context': Buffer.concat([id, user, encode([2, encode([1, 'bob'])])]),
  'a user context to merge': Buffer.concat([id, user, encode([2, encode([2, 'Bob'])])]),
  'an empty user context': Buffer.concat([id, user, encode([2, ''])]),
  'a user id': Buffer.concat([id, encode([2, encode([1, 'ann'], [1, 'bob'])])]),
  'a user id behind an extension': Buffer.concat([
    id,
    encode([2, encode([1, 'ann'], [15, 'any'], [1, 'bob'])]),
  ]),
  'a session id as a number': Buffer.concat([id, user, Buffer.from([0x08, 0x01])]),
  'a user context as a number': Buffer.concat([id, user, Buffer.from([0x10, 0x01])]),
  'a user id as a number': Buffer.concat([
    id,
    encode([2, Buffer.concat([encode([1, 'ann']), Buffer.from([0x08, 0x01])])]),
  ]),
  'a session id as eight bytes': Buffer.concat([id, user, Buffer.from([0x09]), Buffer.alloc(8)]),
  'a session id as four bytes': Buffer.concat([id, user, Buffer.from([0x0d]), Buffer.alloc(4)]),
  'a session id in a group': Buffer.concat([id, user, Buffer.from([0x0b, 0x0c])]),
  'a user context in a group': Buffer.concat([id, user, Buffer.from([0x13, 0x14])]),
  'a session id behind a tag that is longer than it need be': Buffer.concat([
    id,
    user,
    Buffer.from([0x8a, 0x00]),
    encode([1, OTHER]).subarray(1),
  ]),
  'a session id behind a tag of five bytes': Buffer.concat([
    id,
    user,
    Buffer.from([0x8a, 0x80, 0x80, 0x80, 0x00]),
    encode([1, OTHER]).subarray(1),
  ]),
  'a session id behind a tag of ten bytes': Buffer.concat([
    id,
    user,
    Buffer.from([0x8a, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x00]),
    encode([1, OTHER]).subarray(1),
  ]),
  'a session id behind a length that is longer than it need be': Buffer.concat([
    id,
    user,
    Buffer.from([0x0a, 0xa4, 0x00]),
    Buffer.from(OTHER),
  ]),
  'a session id of wire type 6': Buffer.concat([id, user, Buffer.from([0x0e])]),
  'a session id of wire type 7': Buffer.concat([id, user, Buffer.from([0x0f])]),
  'the end of a group': Buffer.concat([id, user, Buffer.from([0x0c])]),
};
for (const [what, message] of Object.entries(twice)) {
  test(`whose session it is is said once: ${what} more is refused, plain and compressed`, (t) => {
    for (const name of Object.keys(fixture('4.3'))) {
      t.is(read(frame(message), method(name)), 'REQUEST_UNREADABLE', name);
      t.is(read(frame(gzipSync(message), true), method(name), 'gzip'), 'REQUEST_UNREADABLE', name);
    }
  });
}

test('a second session id that is cut is refused, too', (t) => {
  const body = frame(Buffer.concat([id, user, encode([1, OTHER])]));
  t.is(read(body.subarray(0, body.length - 1), ExecutePlan), 'REQUEST_UNREADABLE');
});

/** A message of so many bytes. */
function filled(rest: Buffer, length: number): Buffer {
  const empty = Buffer.concat([id, user, rest, encode([15, Buffer.alloc(200)])]);
  return Buffer.concat([id, user, rest, encode([15, Buffer.alloc(length - empty.length + 200)])]);
}

const readWhole = [
  'ReattachExecute',
  'ReleaseExecute',
  'ReleaseSession',
  'Interrupt',
  'FetchErrorDetails',
  'GetStatus',
  'CloneSession',
];
for (const name of readWhole) {
  const fields = [[3, 'the client'], ...(name === 'CloneSession' ? [[4, OTHER] as const] : [])];
  const rest = encode(...(fields as [number, string][]));

  test(`${name} is decided on its whole message, up to 4 KiB and no further`, (t) => {
    const of = method(name);
    const fits = frame(filled(rest, 4091));
    t.is(fits.length, 4096);
    t.like(read(fits, of), { sessionId: SESSION, userId: 'ann' });
    t.is(read(frame(filled(rest, 4092)).subarray(0, 4096), of), 'REQUEST_UNREADABLE');
    t.is(read(fits.subarray(0, 4095), of), 'REQUEST_UNREADABLE');
    const compressed = frame(gzipSync(filled(rest, 4091)), true);
    t.like(read(compressed, of, 'gzip'), { sessionId: SESSION, userId: 'ann' });
    t.is(read(frame(gzipSync(filled(rest, 4097)), true), of, 'gzip'), 'REQUEST_UNREADABLE');
  });

  test(`${name} with something behind its message is refused`, (t) => {
    const of = method(name);
    const message = Buffer.concat([id, user, rest]);
    const second = frame(Buffer.concat([encode([1, OTHER]), user]));
    const zipped = gzipSync(message);
    t.like(read(frame(message), of), { sessionId: SESSION });
    t.is(read(Buffer.concat([frame(message), second]), of), 'REQUEST_UNREADABLE');
    t.is(read(Buffer.concat([frame(message), Buffer.from([0])]), of), 'REQUEST_UNREADABLE');
    for (const behind of [gzipSync(encode([1, OTHER])), gzipSync(''), Buffer.from([0])]) {
      const body = frame(Buffer.concat([zipped, behind]), true);
      t.is(read(body, of, 'gzip'), 'REQUEST_UNREADABLE');
    }
    for (let cut = 0; cut < zipped.length; cut++) {
      const body = frame(zipped, true).subarray(0, 5 + cut);
      t.is(read(body, of, 'gzip'), 'REQUEST_UNREADABLE', `${cut} of ${zipped.length} bytes`);
    }
  });

  test(`${name} of a client with the longest user agent is read`, (t) => {
    const agent = encode([5, 'a'.repeat(2048)]);
    const of = method(name);
    t.like(read(frame(Buffer.concat([id, user, rest, agent])), of), { sessionId: SESSION });
  });
}

test('a large request of a client without a user, who sends no user context, can be read', (t) => {
  const whole = frame(encode([1, SESSION], [3, Buffer.alloc(5000, 1)]));
  t.like(read(whole.subarray(0, 4096), ExecutePlan), { sessionId: SESSION, userId: '' });
});

test('a user context that is cut is not taken for none', (t) => {
  const whole = frame(
    encode([1, SESSION], [3, 'early'], [2, encode([1, 'a'.repeat(5000)])], [4, 'late']),
  );
  t.is(read(whole.subarray(0, 4096), ExecutePlan), 'REQUEST_UNREADABLE');
});

test('a client that says no user id has an empty one', (t) => {
  t.like(read(frame(encode([1, SESSION])), ExecutePlan), { sessionId: SESSION, userId: '' });
});

test('CloneSession without a new id is seen as such only when its whole message was seen', (t) => {
  const body = frame(encode([1, SESSION], [2, encode([1, 'ann'])], [3, 'client']));
  t.like(read(body, CloneSession), { newSessionId: undefined });
  t.is(read(body.subarray(0, body.length - 1), CloneSession), 'REQUEST_UNREADABLE');
});

test('CloneSession with a new id that is no UUID is refused as Spark refuses it, and told which id', (t) => {
  const refusal = (newSessionId: string): string =>
    t.throws(
      () =>
        readOrThrow(
          frame(encode([1, SESSION], [2, encode([1, 'ann'])], [4, newSessionId])),
          CloneSession,
        ),
      { instanceOf: GatewayError, code: 'REQUEST_UNREADABLE' },
    ).message;
  const named = /\[INVALID_CLONE_SESSION_REQUEST.TARGET_SESSION_ID_FORMAT\].*"not-a-valid-uuid"/;
  t.regex(refusal('not-a-valid-uuid'), named);
  t.regex(refusal('a\r\nb'), /"a\\r\\nb"/);
  t.true(refusal('x'.repeat(1000)).length < 400);
});

test('ReleaseSession without allow_reconnect is seen as such only when its whole message was seen', (t) => {
  const body = frame(encode([1, SESSION], [2, encode([1, 'ann'])], [3, 'client']));
  t.like(read(body, ReleaseSession), { allowReconnect: false });
  t.is(read(body.subarray(0, body.length - 1), ReleaseSession), 'REQUEST_UNREADABLE');
});

const unreadable: Record<string, Buffer> = {
  'an empty body': Buffer.alloc(0),
  'half a frame header': Buffer.from([0, 0, 0]),
  'a flag that gRPC does not know': Buffer.concat([Buffer.from([2]), Buffer.alloc(40)]),
  'an empty message': frame(Buffer.alloc(0)),
  'a session id that is not a UUID': frame(encode([1, 'mine'], [2, encode([1, 'ann'])])),
  'a session id in upper case': frame(encode([1, SESSION.toUpperCase()])),
  'a session id with something behind it': frame(encode([1, `${SESSION}\n`])),
  'a user id with control characters': frame(encode([1, SESSION], [2, encode([1, 'a\r\nb'])])),
  'a user id that is not UTF-8': frame(
    encode([1, SESSION], [2, encode([1, Buffer.from([0xff, 0xfe])])]),
  ),
  'a group': frame(Buffer.concat([encode([1, SESSION]), Buffer.from([0x1b, 0x1c])])),
  'a field longer than its message': frame(Buffer.from([0x0a, 0x7f, 0x61])),
  'an endless varint': frame(Buffer.alloc(20, 0xff)),
  'field number 0': frame(Buffer.from([0x00, 0x01])),
};
for (const [what, body] of Object.entries(unreadable)) {
  test(`refuses ${what}`, (t) => {
    t.is(read(body, ExecutePlan), 'REQUEST_UNREADABLE');
  });
}

test('reads a gzip message, whole or cut', (t) => {
  const plan = Buffer.from(Array.from({ length: 5000 }, (_, i) => (i * 7919) % 251));
  const message = encode([1, SESSION], [2, encode([1, 'ann'])], [3, plan]);
  const body = frame(gzipSync(message), true);
  t.true(body.length > 300);
  for (const cut of [body.length, body.length - 1, 300]) {
    t.like(read(body.subarray(0, cut), ExecutePlan, 'gzip'), { sessionId: SESSION }, `${cut}`);
  }
});

test('what is read of one compressed message tells nothing of the one before', (t) => {
  const first = frame(gzipSync(encode([1, SESSION], [2, encode([1, 'ann'])])), true);
  const second = frame(gzipSync(encode([1, OTHER], [2, encode([1, 'bob'])])), true);
  t.like(read(first, ExecutePlan, 'gzip'), { sessionId: SESSION, userId: 'ann' });
  t.is(read(second.subarray(0, 20), ExecutePlan, 'gzip'), 'REQUEST_UNREADABLE');
  t.is(read(frame(Buffer.from('no gzip'), true), ExecutePlan, 'gzip'), 'REQUEST_UNREADABLE');
  t.like(read(second, ExecutePlan, 'gzip'), { sessionId: OTHER, userId: 'bob' });
  t.like(read(first, ExecutePlan, 'gzip'), { sessionId: SESSION, userId: 'ann' });
});

test('a compressed ReleaseSession is whole only with its last byte', (t) => {
  const body = frame(gzipSync(encode([1, SESSION], [2, encode([1, 'ann'])])), true);
  t.like(read(body, ReleaseSession, 'gzip'), { allowReconnect: false });
  t.is(read(body.subarray(0, body.length - 1), ReleaseSession, 'gzip'), 'REQUEST_UNREADABLE');
});

test('a compressed message that grows a thousandfold is read within bounds', (t) => {
  const message = encode([1, SESSION], [2, encode([1, 'ann'])], [3, Buffer.alloc(8 << 20)]);
  const body = frame(gzipSync(message), true);
  t.is(gunzipSync(body.subarray(5)).length, message.length);
  t.like(read(body, ExecutePlan, 'gzip'), { sessionId: SESSION, userId: 'ann' });
});

test('a compression that is not supported is named in the refusal', (t) => {
  const error = t.throws(() => readOrThrow(frame(Buffer.from('x'), true), ExecutePlan, 'zstd'), {
    instanceOf: GatewayError,
  });
  t.is(error.code, 'REQUEST_UNREADABLE');
  t.regex(error.message, /"zstd".*gzip/);
  t.is(read(frame(Buffer.from('no gzip at all'), true), ExecutePlan, 'gzip'), 'REQUEST_UNREADABLE');
  t.is(read(frame(Buffer.from('x'), true), ExecutePlan), 'REQUEST_UNREADABLE');
  // Nor does a driver read it.
  const deflated = frame(deflateSync(encode([1, SESSION])), true);
  t.is(read(deflated, ExecutePlan, 'deflate'), 'REQUEST_UNREADABLE');
});

const request = fc.record({
  session_id: fc.uuid(),
  user_context: fc.record({
    user_id: fc.string({ unit: 'grapheme' }).filter((s) => !/\p{Cc}|[\u2028\u2029]/u.test(s)),
    user_name: fc.string(),
  }),
  plan: fc.uint8Array({ maxLength: 200 }),
  allow_reconnect: fc.boolean(),
  number: fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n }),
  fixed64: fc.bigInt({ min: 0n, max: 2n ** 64n - 1n }),
  fixed32: fc.nat(),
});

interface Decoded {
  readonly session_id: string;
  readonly user_context?: { readonly user_id: string };
  readonly allow_reconnect: boolean;
}

test('agrees with a full decode of every message, cut anywhere', (t) => {
  fc.assert(
    fc.property(fc.array(request, { minLength: 1, maxLength: 3 }), (parts) => {
      // Concatenated messages are one message with repeated fields, out of order.
      const payload = Buffer.concat(parts.map((part) => toBinary(RequestDesc, toMessage(part))));
      const decoded = withProtoNames(fromBinary(RequestDesc, payload)) as Decoded;
      const body = frame(payload);
      for (let cut = 0; cut < body.length; cut++) {
        const seen = read(body.subarray(0, cut), ExecutePlan);
        // One copy: the fields are either right or refused.
        if (typeof seen !== 'string' && parts.length === 1) {
          t.is(seen.sessionId, decoded.session_id);
          t.is(seen.userId, decoded.user_context?.user_id ?? '');
        }
        if (typeof seen === 'string') t.is(seen, 'REQUEST_UNREADABLE');
        t.is(read(body.subarray(0, cut), ReleaseSession), 'REQUEST_UNREADABLE');
      }
      const seen = read(body, ReleaseSession);
      if (parts.length > 1) t.is(seen, 'REQUEST_UNREADABLE');
      else {
        t.deepEqual(seen, {
          sessionId: decoded.session_id,
          userId: decoded.user_context?.user_id ?? '',
          newSessionId: undefined,
          allowReconnect: decoded.allow_reconnect,
          messageBytes: payload.length,
        });
      }
    }),
    { numRuns: tries(60) },
  );
});

test('agrees with a full decode of CloneSession, cut anywhere', (t) => {
  const arbitrary = fc.record({
    session_id: fc.uuid(),
    new_session_id: fc.option(fc.uuid(), { nil: '' }),
    client_type: fc.string(),
  });
  fc.assert(
    fc.property(arbitrary, (fields) => {
      const body = frame(toBinary(CloneRequestDesc, toMessage(fields, CloneRequestDesc)));
      for (let cut = 0; cut <= body.length; cut++) {
        const seen = read(body.subarray(0, cut), CloneSession);
        if (typeof seen === 'string') {
          t.is(seen, 'REQUEST_UNREADABLE');
          t.true(cut < body.length);
        } else {
          t.is(seen.sessionId, fields.session_id);
          t.is(seen.newSessionId, fields.new_session_id || undefined);
        }
      }
    }),
    { numRuns: tries(60) },
  );
});

test('no bytes make it crash', (t) => {
  fc.assert(
    fc.property(
      fc.uint8Array({ maxLength: 300 }),
      fc.boolean(),
      fc.constantFrom('gzip', 'deflate', undefined),
      (payload, compressed, encoding) => {
        for (const of of [ExecutePlan, CloneSession, ReleaseSession]) {
          read(frame(payload, compressed), of, encoding);
        }
      },
    ),
    { numRuns: tries(500) },
  );
  t.pass();
});

/** Descriptors made at run time name their fields in lower camel case. */
function toMessage(fields: Record<string, unknown>, desc = RequestDesc) {
  const message = create(desc) as unknown as Record<string, unknown>;
  for (const [name, value] of Object.entries(fields)) {
    const member = desc.fields.find((candidate) => candidate.name === name);
    if (!member) throw new Error(`no field ${name}`);
    message[member.localName] =
      member.fieldKind === 'message'
        ? toMessage(value as Record<string, unknown>, member.message)
        : value;
  }
  return message as never;
}

function withProtoNames(message: object): unknown {
  const entries = Object.entries(message).map(([name, value]: [string, unknown]) => [
    name.replaceAll(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`),
    typeof value === 'object' && value !== null && !(value instanceof Uint8Array)
      ? withProtoNames(value)
      : value,
  ]);
  return Object.fromEntries(entries);
}
