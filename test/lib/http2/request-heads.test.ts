import test from 'ava';
import * as fc from 'fast-check';
import { CompressionError, HpackDecoder } from '../../../src/lib/http2/hpack-decoder.js';
import { RequestHead } from '../../../src/lib/http2/request-head.js';
import { RequestHeads } from '../../../src/lib/http2/request-heads.js';

function text(octets: string): Buffer {
  return Buffer.concat([Buffer.from([octets.length]), Buffer.from(octets)]);
}

function literal(first: number, name: string, value: string): Buffer {
  return Buffer.concat([Buffer.from([first]), text(name), text(value)]);
}

/** POST, http, a path that varies and `fields` after it: of few kinds, so that blocks come again. */
function request(path: string, ...fields: Buffer[]): Buffer {
  return Buffer.concat([Buffer.from([0x83, 0x86]), literal(0, ':path', path), ...fields]);
}

const remembered = fc
  .constantFrom('1S', '2S')
  .map((value) => request('/a', literal(0x40, 'grpc-timeout', value)));
/** The newest entry of the table and the one before it: what they are changes. */
const indexed = fc.constantFrom(0xbe, 0xbf).map((octet) => request('/a', Buffer.from([octet])));
const plain = fc
  .constantFrom('/a', '/b')
  .map((path) => request(path, literal(0, 'traceparent', path)));
/** Empties the table. */
const resized = fc.constant(Buffer.concat([Buffer.from([0x20, 0x3f, 0xe1, 0x1f]), request('/a')]));

test('a block that comes again is read as it would be afresh', (t) => {
  fc.assert(
    fc.property(
      fc.array(fc.oneof(remembered, indexed, plain, resized), { maxLength: 40 }),
      (blocks) => {
        const heads = new RequestHeads();
        const decoder = new HpackDecoder();
        for (const block of blocks) {
          const afresh = new RequestHead();
          try {
            decoder.decode(block, (name, value) => afresh.add(name, value));
          } catch (error) {
            t.true(error instanceof CompressionError);
            t.throws(() => heads.read(block), { instanceOf: CompressionError });
            return;
          }
          const { method, path, grpcTimeout, traceparent, malformed } = heads.read(block);
          t.deepEqual(
            { method, path, grpcTimeout, traceparent, malformed },
            {
              method: afresh.method,
              path: afresh.path,
              grpcTimeout: afresh.grpcTimeout,
              traceparent: afresh.traceparent,
              malformed: afresh.malformed,
            },
          );
        }
      },
    ),
    { numRuns: 300 },
  );
  t.pass();
});

test('the same block is read once for as long as the table is the same', (t) => {
  const heads = new RequestHeads();
  const block = request('/a');
  const first = heads.read(block);
  t.is(heads.read(Buffer.from(block)), first);
  heads.read(request('/a', literal(0x40, 'grpc-timeout', '1S')));
  t.not(heads.read(block), first);
});
