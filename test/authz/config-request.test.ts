import { readFileSync } from 'node:fs';
import { gzipSync } from 'node:zlib';
import test from 'ava';
import * as fc from 'fast-check';
import { CheckMemory } from '../../src/authz/check-memory.js';
import { readConfigRequest } from '../../src/authz/config-request.js';
import { messagePrefix } from '../../src/authz/request.js';
import { encode, frame } from '../support/spark-messages.js';

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
