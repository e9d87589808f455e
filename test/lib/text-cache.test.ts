import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import test from 'ava';
import * as fc from 'fast-check';
import { TextCache } from '../../src/lib/protobuf/text-cache.js';
import { settle } from '../support/manual-clock.js';
import { tries } from '../support/tries.js';

/** Short and long ones with equal ends, so that many meet in one place; not all of them are UTF-8. */
const parts = fc
  .tuple(fc.uint8Array({ maxLength: 3 }), fc.constantFrom(0, 16, 60, 5000), fc.nat(2))
  .map(([head, padding, tail]) =>
    Buffer.concat([head, Buffer.alloc(padding, 'x'), Buffer.from([0x61 + tail])]),
  );

test('a text is that of its bytes, whatever was read before and wherever it stands', (t) => {
  fc.assert(
    fc.property(
      fc.array(parts, { maxLength: 40 }),
      fc.nat(5),
      fc.constantFrom(1, 8, 4096),
      fc.constantFrom(0, 20, 10_000),
      (all, offset, places, maxBytes) => {
        const cache = new TextCache({ places, maxBytes });
        for (const bytes of [...all, ...all.toReversed()]) {
          const message = Buffer.concat([Buffer.alloc(offset, 0xff), bytes, Buffer.from('after')]);
          const text = cache.text(message, offset, offset + bytes.length);
          if (text !== bytes.toString()) return false;
        }
        return true;
      },
    ),
    { numRuns: tries(300) },
  );
  t.pass();
});

test('what is remembered does not change with the bytes that it was read from', (t) => {
  const cache = new TextCache({ places: 16, maxBytes: 100 });
  const bytes = Buffer.from('alice');
  t.is(cache.text(bytes, 0, 5), 'alice');
  bytes.write('clara');
  t.is(cache.text(bytes, 0, 5), 'clara');
  t.is(cache.text(Buffer.from('alice'), 0, 5), 'alice');
});

/** Bytes outside of JavaScript's heap that something still refers to. */
async function heldOutside(): Promise<number> {
  setFlagsFromString('--expose-gc');
  const collect = runInNewContext('gc') as () => void;
  // What one collection finds is given back in the background, and before the next one at the latest.
  for (let round = 0; round < 4; round++) {
    collect();
    await settle();
  }
  return process.memoryUsage().arrayBuffers;
}

test.serial('whatever callers send, no more memory is held than was said', async (t) => {
  const before = await heldOutside();
  const maxBytes = 1024 * 1024;
  const cache = new TextCache({ places: 16_384, maxBytes });
  const message = Buffer.alloc(36);
  for (let i = 0; i < 50_000; i++) {
    message.write(`${i} by a caller whom nobody knows`);
    cache.text(message, 0, message.length);
    // Others use the pool, too.
    Buffer.allocUnsafe(3_000);
  }
  const held = (await heldOutside()) - before;
  t.true(held < 4 * maxBytes, `${held} bytes`);
  t.is(cache.text(message, 0, 5), '49999');
});

test('a text that is larger than all that is remembered is read, and makes nothing forgotten', (t) => {
  const cache = new TextCache({ places: 16, maxBytes: 10 });
  const bytes = Buffer.from('alice and all of her friends');
  const alice = cache.text(bytes, 0, 5);
  t.is(cache.text(bytes, 0, bytes.length), 'alice and all of her friends');
  t.is(cache.text(bytes, 0, 5), alice);
});
