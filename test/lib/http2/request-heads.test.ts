import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { connect, createServer, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test, { type ExecutionContext } from 'ava';
import * as fc from 'fast-check';
import { ErrorCode, FrameType } from '../../../src/lib/http2/frame.js';
import { headerBlock } from '../../../src/lib/http2/header-block.js';
import { CompressionError, HpackDecoder } from '../../../src/lib/http2/hpack-decoder.js';
import { RequestHead } from '../../../src/lib/http2/request-head.js';
import { RequestHeads } from '../../../src/lib/http2/request-heads.js';
import { serveHttp2, type SocketOptions } from '../../../src/lib/http2/socket.js';
import { frame, frames, hello, request } from '../../support/http2-peer.js';
import { ManualClock } from '../../support/manual-clock.js';
import { tries } from '../../support/tries.js';
import { Signal } from '../../support/signal.js';

// Heads of requests.

function literalText(octets: string): Buffer {
  return Buffer.concat([Buffer.from([octets.length]), Buffer.from(octets)]);
}

function literal(first: number, name: string, value: string): Buffer {
  return Buffer.concat([Buffer.from([first]), literalText(name), literalText(value)]);
}

/** POST, http, a path that varies and `fields` after it: of few kinds, so that blocks come again. */
function requestBlock(path: string, ...fields: Buffer[]): Buffer {
  return Buffer.concat([Buffer.from([0x83, 0x86]), literal(0, ':path', path), ...fields]);
}

const remembered = fc
  .constantFrom('1S', '2S')
  .map((value) => requestBlock('/a', literal(0x40, 'grpc-timeout', value)));
/** The newest entry of the table and the one before it: what they are changes. */
const indexed = fc
  .constantFrom(0xbe, 0xbf)
  .map((octet) => requestBlock('/a', Buffer.from([octet])));
const plain = fc
  .constantFrom('/a', '/b')
  .map((path) => requestBlock(path, literal(0, 'traceparent', path)));
/** Empties the table. */
const resized = fc.constant(
  Buffer.concat([Buffer.from([0x20, 0x3f, 0xe1, 0x1f]), requestBlock('/a')]),
);

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
    { numRuns: tries(300) },
  );
  t.pass();
});

test('the same block is read once for as long as the table is the same', (t) => {
  const heads = new RequestHeads();
  const block = requestBlock('/a');
  const first = heads.read(block);
  t.is(heads.read(Buffer.from(block)), first);
  heads.read(requestBlock('/a', literal(0x40, 'grpc-timeout', '1S')));
  t.not(heads.read(block), first);
});

// HPACK.

function decoding(decoder: HpackDecoder, block: Buffer): string[] {
  const fields: string[] = [];
  decoder.decode(block, (name, value) => fields.push(`${name}: ${value}`));
  return fields;
}

const hex = (text: string) => Buffer.from(text.replaceAll(' ', ''), 'hex');

/** The examples of RFC 7541, appendix C, each a connection; 3fe101 sets the table to 256 octets. */
const connections: Record<
  string,
  readonly (readonly [block: string, fields: readonly string[]])[]
> = {
  'C.2.1 literal with indexing': [
    ['400a637573746f6d2d6b65790d637573746f6d2d686561646572', ['custom-key: custom-header']],
  ],
  'C.2.2 literal without indexing': [['040c2f73616d706c652f70617468', [':path: /sample/path']]],
  'C.2.3 literal never indexed': [['100870617373776f726406736563726574', ['password: secret']]],
  'C.2.4 indexed': [['82', [':method: GET']]],
  'C.3 requests without Huffman coding': [
    [
      '828684410f7777772e6578616d706c652e636f6d',
      [':method: GET', ':scheme: http', ':path: /', ':authority: www.example.com'],
    ],
    [
      '828684be58086e6f2d6361636865',
      [
        ':method: GET',
        ':scheme: http',
        ':path: /',
        ':authority: www.example.com',
        'cache-control: no-cache',
      ],
    ],
    [
      '828785bf400a637573746f6d2d6b65790c637573746f6d2d76616c7565',
      [
        ':method: GET',
        ':scheme: https',
        ':path: /index.html',
        ':authority: www.example.com',
        'custom-key: custom-value',
      ],
    ],
  ],
  'C.4 requests with Huffman coding': [
    [
      '828684418cf1e3c2e5f23a6ba0ab90f4ff',
      [':method: GET', ':scheme: http', ':path: /', ':authority: www.example.com'],
    ],
    [
      '828684be5886a8eb10649cbf',
      [
        ':method: GET',
        ':scheme: http',
        ':path: /',
        ':authority: www.example.com',
        'cache-control: no-cache',
      ],
    ],
    [
      '828785bf408825a849e95ba97d7f8925a849e95bb8e8b4bf',
      [
        ':method: GET',
        ':scheme: https',
        ':path: /index.html',
        ':authority: www.example.com',
        'custom-key: custom-value',
      ],
    ],
  ],
  'C.6 responses with Huffman coding, fields are evicted': [
    [
      '3fe101 488264025885aec3771a4b6196d07abe941054d444a8200595040b8166e082a62d1bff6e919d29ad171863c78f0b97c8e9ae82ae43d3',
      [
        ':status: 302',
        'cache-control: private',
        'date: Mon, 21 Oct 2013 20:13:21 GMT',
        'location: https://www.example.com',
      ],
    ],
    [
      '4883640effc1c0bf',
      [
        ':status: 307',
        'cache-control: private',
        'date: Mon, 21 Oct 2013 20:13:21 GMT',
        'location: https://www.example.com',
      ],
    ],
    [
      '88c16196d07abe941054d444a8200595040b8166e084a62d1bffc05a839bd9ab77ad94e7821dd7f2e6c7b335dfdfcd5b3960d5af27087f3672c1ab270fb5291f9587316065c003ed4ee5b1063d5007',
      [
        ':status: 200',
        'cache-control: private',
        'date: Mon, 21 Oct 2013 20:13:22 GMT',
        'location: https://www.example.com',
        'content-encoding: gzip',
        'set-cookie: foo=ASDJKHQKBZXOQWEOPIUAXQWEOIU; max-age=3600; version=1',
      ],
    ],
  ],
};

for (const [name, blocks] of Object.entries(connections)) {
  test(`an example of RFC 7541 is read as it says: ${name}`, (t) => {
    const decoder = new HpackDecoder();
    for (const [block, fields] of blocks) t.deepEqual(decoding(decoder, hex(block)), fields);
  });
}

const broken: Record<string, string> = {
  'index 0': '80',
  'an index beyond the table': 'be',
  'a number without end': 'ffffffffffff7f',
  'a cut number': 'ff',
  'a cut string': '400a6375',
  'a Huffman string that holds EOS': '008 4ffffffff 00'.replaceAll(' ', ''),
  'Huffman padding of a whole octet': '0082 1fff 00'.replaceAll(' ', ''),
  'Huffman padding of zeros': '0081 18 00'.replaceAll(' ', ''),
  'a table size after a field': '8220',
  'a table larger than agreed': '3fe21f',
};

for (const [what, block] of Object.entries(broken)) {
  test(`a block is refused: ${what}`, (t) => {
    t.throws(() => decoding(new HpackDecoder(), hex(block)), { instanceOf: CompressionError });
  });
}

test('what headerBlock writes is read back', (t) => {
  const text = fc.string({ unit: 'grapheme-ascii', maxLength: 300 });
  fc.assert(
    fc.property(fc.dictionary(text, text), (fields) => {
      const read = decoding(new HpackDecoder(), headerBlock(404, fields));
      t.deepEqual(read, [
        ':status: 404',
        ...Object.entries(fields).map(([name, value]) => `${name}: ${value}`),
      ]);
    }),
  );
});

test('no block makes the decoder do anything but read or refuse it', (t) => {
  fc.assert(
    fc.property(fc.array(fc.uint8Array({ maxLength: 200 }), { maxLength: 5 }), (blocks) => {
      const decoder = new HpackDecoder();
      for (const block of blocks) {
        try {
          decoding(decoder, Buffer.from(block));
        } catch (error) {
          t.true(error instanceof CompressionError);
          return;
        }
      }
    }),
    { numRuns: tries(500) },
  );
  t.pass();
});

// The socket below.

/** A server whose answers are `answer`, and a client that has connected to it. */
async function connected(
  t: ExecutionContext,
  answer = Buffer.from('answer'),
  options: Pick<SocketOptions, 'keepAlive'> = {},
) {
  const folder = mkdtempSync(join(tmpdir(), 'http2-'));
  const path = join(folder, 'socket');
  const clock = new ManualClock();
  const errors = new Signal<Error>();
  const accepted = new Signal<Socket>();
  let requests = 0;
  const server = createServer((socket) => {
    const connection = serveHttp2(socket, {
      ...options,
      maxBodyBytes: 1000,
      timers: clock,
      onError: (error) => errors.emit(error),
      onTooLarge: () => undefined,
      onRequest(stream) {
        requests++;
        connection.respond(stream, headerBlock(200, {}), false);
        connection.send(stream, answer);
        connection.finish(stream, headerBlock(undefined, { end: 'x' }));
      },
    });
    accepted.emit(socket);
  });
  server.listen(path);
  await once(server, 'listening');
  const client = connect({ path, allowHalfOpen: true });
  client.on('error', () => undefined);
  const served = await accepted.next();
  t.teardown(() => {
    client.destroy();
    server.close();
    rmSync(folder, { recursive: true });
  });
  return { client, served, clock, errors, requests: () => requests };
}

test('a peer that breaks the protocol and does not go is told why, and left', async (t) => {
  const { client, served, clock } = await connected(t);
  const heard: Buffer[] = [];
  client.on('data', (chunk: Buffer) => heard.push(chunk));
  client.write(Buffer.concat([hello, frame(FrameType.DATA, 0, 7)]));
  await once(client, 'end');
  const goAway = frames(Buffer.concat(heard)).find(({ type }) => type === FrameType.GOAWAY);
  t.is(goAway?.payload.readUInt32BE(4), ErrorCode.PROTOCOL_ERROR);
  t.false(served.destroyed, 'the client has not ended its side');
  const closed = once(served, 'close');
  await clock.advance(1000);
  await closed;
  t.true(served.destroyed);
});

test('a peer that says nothing for 10 s is left, one that has begun is not', async (t) => {
  const silent = await connected(t);
  const half = await connected(t);
  half.client.write(hello.subarray(0, 20));
  const speaking = await connected(t);
  speaking.client.resume();
  const greeted = once(speaking.client, 'data');
  speaking.client.write(hello);
  await greeted;
  speaking.client.write(request(1, ''));
  await once(speaking.client, 'data');
  for (const { served, clock } of [silent, half]) {
    const closed = once(served, 'close');
    await clock.advance(10_000);
    await closed;
  }
  await speaking.clock.advance(60_000);
  t.false(speaking.served.destroyed);
});

test('a peer that does not read is not read from, and goes on when it reads again', async (t) => {
  const { client, served, requests } = await connected(t, Buffer.alloc(10_000, 'x'));
  client.pause();
  // Of the connection: WINDOW_UPDATE to 1 GiB.
  const window = Buffer.from([0, 0, 4, 8, 0, 0, 0, 0, 0, 0x3f, 0xff, 0, 0]);
  client.write(Buffer.concat([hello, window]));
  const paused = once(served, 'pause');
  const asked = Array.from({ length: 300 }, (_, i) => request(2 * i + 1, ''));
  client.write(Buffer.concat(asked));
  await paused;
  t.true(served.isPaused());
  client.write(request(601, 'the last'));
  let bytes = 0;
  const all = new Promise<void>((resolve) => {
    client.on('data', (chunk: Buffer) => {
      bytes += chunk.length;
      if (bytes > 301 * 10_000) resolve();
    });
  });
  client.resume();
  await all;
  t.is(requests(), 301);
});

test('a peer that gives no sign of life when it is asked for one is left', async (t) => {
  const keepAlive = { everyMs: 30_000, withinMs: 10_000 };
  const { client, served, clock, errors } = await connected(t, undefined, { keepAlive });
  const heard: Buffer[] = [];
  const pinged = new Signal<void>();
  client.on('data', (chunk: Buffer) => {
    heard.push(chunk);
    if (frames(Buffer.concat(heard)).some(({ type }) => type === FrameType.PING)) pinged.emit();
  });
  const greeted = once(client, 'data');
  client.write(hello);
  await greeted;
  await clock.advance(10_000 + 30_000);
  await pinged.next();
  const read = once(served, 'data');
  client.write(request(1, ''));
  await read;
  await clock.advance(10_000 + 30_000);
  t.false(served.destroyed, 'it has said something');
  const closed = new Promise((resolve) => {
    served.once('close', resolve);
  });
  await clock.advance(10_000);
  await closed;
  t.regex((await errors.next()).message, /no sign of life/);
});
