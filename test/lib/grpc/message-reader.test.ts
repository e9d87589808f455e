import test from 'ava';
import * as fc from 'fast-check';
import { MessageReader } from '../../../src/lib/grpc/message-reader.js';
import { GatewayError } from '../../../src/model/errors.js';

const MAX_BYTES = 200_000;

function frame(message: Uint8Array, flag = 0): Buffer {
  const head = Buffer.from([flag, 0, 0, 0, 0]);
  head.writeUInt32BE(message.length, 1);
  return Buffer.concat([head, message]);
}

function readerOf() {
  const messages: Buffer[] = [];
  let held = 0;
  const reader = new MessageReader(MAX_BYTES, (bytes) => {
    held += bytes;
  });
  const read = (chunk: Buffer) =>
    reader.read(chunk, (message) => messages.push(Buffer.from(message)));
  return { read, messages, held: () => held };
}

test('messages come whole, however their bytes are cut, and nothing is kept of them', (t) => {
  const message = fc
    .oneof(fc.nat(20), fc.nat(MAX_BYTES))
    .map((length) => Buffer.alloc(length, `${length},`));
  const sizes = fc.array(fc.oneof(fc.integer({ min: 1, max: 9 }), fc.nat(90_000)), {
    minLength: 1,
  });
  fc.assert(
    fc.property(fc.array(message, { maxLength: 6 }), sizes, (sent, cuts) => {
      const bytes = Buffer.concat(sent.map((each) => frame(each)));
      const { read, messages, held } = readerOf();
      for (let at = 0, i = 0; at < bytes.length; i += 1) {
        // Small pieces at the ends only: a message of them takes too long.
        const size = Math.max(i < 40 ? 1 : 1_000, cuts[i % cuts.length] ?? 1);
        read(bytes.subarray(at, at + size));
        at += size;
      }
      t.deepEqual(messages, sent);
      t.is(held(), 0);
    }),
    { numRuns: 50 },
  );
});

test('a message that says that it is long is given room as it comes', (t) => {
  const { read, held } = readerOf();
  read(frame(Buffer.alloc(MAX_BYTES)).subarray(0, 10));
  t.true(held() > 0);
  t.true(held() <= 64 * 1024);
});

for (const [name, bytes, code] of [
  ['too long', frame(Buffer.alloc(MAX_BYTES + 1)).subarray(0, 5), 'MESSAGE_TOO_LARGE'],
  ['compressed', frame(Buffer.from('x'), 1), 'METHOD_UNKNOWN'],
] as const) {
  test(`a message is refused: ${name}`, (t) => {
    const error = t.throws(() => readerOf().read(bytes), { instanceOf: GatewayError });
    t.is(error.code, code);
  });
}
