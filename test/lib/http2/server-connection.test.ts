import test from 'ava';
import * as fc from 'fast-check';
import { ErrorCode, Flag, FrameType, Setting } from '../../../src/lib/http2/frame.js';
import { headerBlock } from '../../../src/lib/http2/header-block.js';
import {
  frame,
  frames,
  HEAD,
  hello,
  Peer,
  PREFACE,
  request,
  reset,
  settings,
  windowUpdate,
} from '../../support/http2-peer.js';
import { tries } from '../../support/tries.js';

test('the same bytes in any pieces are the same requests and get the same answers', (t) => {
  const bytes = Buffer.concat([
    hello,
    request(1, 'one'),
    frame(FrameType.HEADERS, 0, 3, HEAD.subarray(0, 1)),
    frame(FrameType.CONTINUATION, 0, 3, HEAD.subarray(1, 2)),
    frame(FrameType.CONTINUATION, Flag.END_HEADERS, 3, HEAD.subarray(2)),
    frame(FrameType.DATA, Flag.PADDED, 3, Buffer.from('\x02two??')),
    frame(FrameType.PING, 0, 0, Buffer.alloc(8, 7)),
    frame(FrameType.DATA, Flag.END_STREAM, 3, Buffer.from('three')),
    frame(0xee, 0xff, 5, Buffer.from('of another time')),
    request(5, ''),
  ]);
  const whole = new Peer().send(bytes);
  t.deepEqual(whole.requests, ['1: one', '3: twothree', '5: ']);
  fc.assert(
    fc.property(fc.array(fc.integer({ min: 1, max: 60 }), { minLength: 1 }), (sizes) => {
      const peer = new Peer();
      for (let at = 0, i = 0; at < bytes.length; i++) {
        const size = sizes[i % sizes.length] ?? 1;
        peer.send(bytes.subarray(at, at + size));
        at += size;
      }
      t.deepEqual(peer.sent(), whole.sent());
    }),
  );
});

test('whatever windows the client gives, the whole answer comes, and never more than was given', (t) => {
  const windows = fc.array(
    fc.record({ stream: fc.constantFrom(0, 1, 3), increment: fc.integer({ min: 1, max: 30_000 }) }),
    { maxLength: 30 },
  );
  fc.assert(
    fc.property(
      fc.integer({ min: 0, max: 70_000 }),
      fc.integer({ min: 0, max: 90_000 }),
      windows,
      (initial, length, updates) => {
        const answer = Buffer.alloc(length, 'abcdefg');
        const peer = new Peer(() => answer);
        peer.send(PREFACE, settings([Setting.INITIAL_WINDOW_SIZE, initial]));
        peer.send(request(1, ''), request(3, ''));
        const given = new Map([
          [0, 65_535],
          [1, initial],
          [3, initial],
        ]);
        const check = () => {
          const [one, three] = [peer.body(1), peer.body(3)];
          t.true(one.length <= (given.get(1) ?? 0) && three.length <= (given.get(3) ?? 0));
          t.true(one.length + three.length <= (given.get(0) ?? 0));
          t.true(answer.subarray(0, one.length).equals(one));
        };
        check();
        for (const { stream, increment } of updates) {
          peer.send(windowUpdate(stream, increment));
          given.set(stream, (given.get(stream) ?? 0) + increment);
          check();
        }
        peer.send(windowUpdate(0, 1_000_000), windowUpdate(1, 100_000), windowUpdate(3, 100_000));
        t.true(peer.body(1).equals(answer) && peer.body(3).equals(answer));
        t.true(peer.ended(1) && peer.ended(3));
        t.deepEqual(
          peer.closed.toSorted((a, b) => a - b),
          [1, 3],
        );
      },
    ),
    { numRuns: tries(60) },
  );
});

test('settings that come later change the windows of open streams, also below zero', (t) => {
  const peer = new Peer(() => Buffer.alloc(100, 'x'));
  peer.send(PREFACE, settings([Setting.INITIAL_WINDOW_SIZE, 40]), request(1, ''));
  t.is(peer.body(1).length, 40);
  peer.send(settings([Setting.INITIAL_WINDOW_SIZE, 10]), windowUpdate(1, 30));
  t.is(peer.body(1).length, 40);
  peer.send(settings([Setting.INITIAL_WINDOW_SIZE, 75]));
  t.is(peer.body(1).length, 100);
  t.true(peer.ended(1));
});

const endings: Record<string, readonly [bytes: Buffer, code: ErrorCode]> = {
  'another protocol': [Buffer.from('GET / HTTP/1.1\r\n\r\n'), ErrorCode.PROTOCOL_ERROR],
  'no SETTINGS at first': [
    Buffer.concat([PREFACE, frame(FrameType.PING, 0, 0, Buffer.alloc(8))]),
    ErrorCode.PROTOCOL_ERROR,
  ],
  'a frame that is too large': [
    Buffer.concat([hello, frame(FrameType.DATA, 0, 1, Buffer.alloc(16_385))]),
    ErrorCode.FRAME_SIZE_ERROR,
  ],
  'data on a stream that was not opened': [
    Buffer.concat([hello, frame(FrameType.DATA, 0, 7)]),
    ErrorCode.PROTOCOL_ERROR,
  ],
  'a stream with an even id': [
    Buffer.concat([hello, frame(FrameType.HEADERS, Flag.END_HEADERS, 2, HEAD)]),
    ErrorCode.PROTOCOL_ERROR,
  ],
  'a header block that is interrupted': [
    Buffer.concat([hello, frame(FrameType.HEADERS, 0, 1, HEAD), settings()]),
    ErrorCode.PROTOCOL_ERROR,
  ],
  'a header block that cannot be read': [
    Buffer.concat([hello, frame(FrameType.HEADERS, Flag.END_HEADERS, 1, Buffer.from([0xff]))]),
    ErrorCode.COMPRESSION_ERROR,
  ],
  'a header block without end': [
    Buffer.concat([
      hello,
      frame(FrameType.HEADERS, 0, 1, HEAD),
      ...Array.from({ length: 20_000 }, () => frame(FrameType.CONTINUATION, 0, 1)),
    ]),
    ErrorCode.ENHANCE_YOUR_CALM,
  ],
  'padding that is longer than its frame': [
    Buffer.concat([
      hello,
      frame(FrameType.HEADERS, Flag.END_HEADERS, 1, HEAD),
      frame(FrameType.DATA, Flag.PADDED, 1, Buffer.from([9, 1])),
    ]),
    ErrorCode.PROTOCOL_ERROR,
  ],
  'a window that is too large': [
    Buffer.concat([hello, windowUpdate(0, 2 ** 31 - 1)]),
    ErrorCode.FLOW_CONTROL_ERROR,
  ],
};

for (const [what, [bytes, code]] of Object.entries(endings)) {
  test(`a client that breaks the protocol is told and left: ${what}`, (t) => {
    const peer = new Peer().send(bytes);
    t.is(peer.goAway(), code);
    t.true(peer.connection.finished);
    const before = peer.sent().length;
    peer.send(request(1, 'more'));
    t.is(peer.sent().length, before);
  });
}

test('no bytes make the connection throw', (t) => {
  const type = fc.integer({ min: 0, max: 10 });
  const random = fc.tuple(
    type,
    fc.integer({ min: 0, max: 255 }),
    fc.constantFrom(0, 1, 3, 2, 5),
    fc.uint8Array({ maxLength: 40 }),
  );
  fc.assert(
    fc.property(fc.array(random, { maxLength: 30 }), fc.uint8Array(), (list, rest) => {
      const peer = new Peer().send(hello);
      for (const [kind, flags, streamId, payload] of list) {
        peer.send(frame(kind, flags, streamId, payload));
      }
      peer.send(Buffer.from(rest));
      peer.connection.disconnected();
      t.is(new Set(peer.closed).size, peer.requests.length);
    }),
    { numRuns: tries(500) },
  );
});

const malformed: Record<string, Buffer> = {
  'no path': Buffer.from([0x83, 0x86]),
  'a path twice': Buffer.from([0x83, 0x86, 0x84, 0x84]),
  'a pseudo-header that is none': Buffer.concat([HEAD, Buffer.from([0x88])]),
  'a pseudo-header after others': Buffer.concat([headerBlock(undefined, { a: 'b' }), HEAD]),
  'a name that is no token': Buffer.concat([HEAD, headerBlock(undefined, { 'a b': 'x' })]),
  'an empty name': Buffer.concat([HEAD, headerBlock(undefined, { '': 'x' })]),
  'a line feed in a value': Buffer.concat([HEAD, headerBlock(undefined, { a: 'x\ny: z' })]),
  'a carriage return in a value': Buffer.concat([HEAD, headerBlock(undefined, { a: 'x\r' })]),
  'a zero in a value': Buffer.concat([HEAD, headerBlock(undefined, { traceparent: 'x\0' })]),
  'a value with space before it': Buffer.concat([HEAD, headerBlock(undefined, { a: ' x' })]),
  'a value with a tab behind it': Buffer.concat([HEAD, headerBlock(undefined, { a: 'x\t' })]),
  'two lengths': Buffer.concat([
    HEAD,
    headerBlock(undefined, { 'content-length': '0' }),
    headerBlock(undefined, { 'content-length': '1' }),
  ]),
  'upper case': Buffer.concat([HEAD, headerBlock(undefined, { Host: 'x' })]),
  'a header of the connection': Buffer.concat([HEAD, headerBlock(undefined, { upgrade: 'h3' })]),
  'another length than it says': Buffer.concat([
    HEAD,
    headerBlock(undefined, { 'content-length': '9' }),
  ]),
};

for (const [what, head] of Object.entries(malformed)) {
  test(`a malformed request is reset, and the others go on: ${what}`, (t) => {
    const end = Flag.END_HEADERS | Flag.END_STREAM;
    const peer = new Peer().send(hello, frame(FrameType.HEADERS, end, 1, head), request(3, 'good'));
    t.is(peer.reset(1), ErrorCode.PROTOCOL_ERROR);
    t.deepEqual(peer.requests, ['3: good']);
  });
}

test('a body that is too large is refused once, and what is still on its way of it is dropped', (t) => {
  const peer = new Peer().send(hello, frame(FrameType.HEADERS, Flag.END_HEADERS, 1, HEAD));
  for (let i = 0; i < 5; i++) peer.send(frame(FrameType.DATA, 0, 1, Buffer.alloc(600)));
  peer.send(frame(FrameType.HEADERS, Flag.END_HEADERS | Flag.END_STREAM, 1, HEAD));
  peer.send(request(3, 'good'));
  t.is(peer.reset(1), ErrorCode.NO_ERROR);
  t.is(peer.sent().filter(({ streamId }) => streamId === 1).length, 2);
  t.deepEqual(peer.requests, ['3: good']);
  t.is(peer.goAway(), undefined);
});

test('a request that the client takes back is over, and a late answer is dropped', (t) => {
  const peer = new Peer(() => undefined).send(hello, request(1, ''), reset(1));
  t.deepEqual(peer.closed, [1]);
  for (const stream of peer.held) peer.answer(stream, Buffer.from('late'));
  t.false(peer.sent().some(({ streamId }) => streamId === 1));
});

test('a shut-down takes what is on its way until the client has heard of it, and lets all finish', (t) => {
  const peer = new Peer(() => undefined).send(hello, request(1, ''));
  peer.connection.shutDown();
  const ping = peer.sent().find(({ type }) => type === FrameType.PING);
  peer.send(request(3, 'on its way'));
  peer.send(frame(FrameType.PING, Flag.ACK, 0, ping?.payload));
  peer.send(request(5, 'too late'));
  t.deepEqual(peer.requests, ['1: ', '3: on its way']);
  const [first, last] = peer.sent().filter(({ type }) => type === FrameType.GOAWAY);
  t.is(first?.payload.readUInt32BE(0), 2 ** 31 - 1);
  t.is(last?.payload.readUInt32BE(0), 3);
  t.false(peer.connection.finished);
  for (const stream of peer.held) peer.answer(stream, Buffer.from('done'));
  t.true(peer.ended(1) && peer.ended(3));
  t.true(peer.connection.finished);
});

test('a client that sends much is given more window as it is read', (t) => {
  const peer = new Peer().send(hello);
  const body = Buffer.alloc(900);
  let window = 65_535;
  for (let id = 1; id < 40_000; id += 2) {
    for (const { type, streamId, payload } of frames(
      peer.connection.takeOutput() ?? Buffer.alloc(0),
    )) {
      if (type === FrameType.WINDOW_UPDATE && streamId === 0) window += payload.readUInt32BE(0);
    }
    window -= body.length;
    peer.send(
      frame(FrameType.HEADERS, Flag.END_HEADERS, id, HEAD),
      frame(FrameType.DATA, Flag.END_STREAM, id, body),
      windowUpdate(0, body.length),
    );
    if (window < 0) break;
  }
  t.true(window > 0);
  t.is(peer.requests.length, 20_000);
});

test('a body that is taken as it comes has no end, and its client is given more window as it is read', (t) => {
  const taken: string[] = [];
  const peer = new Peer(undefined, 100_000, (stream) => {
    stream.onData = (data) => taken.push(`${data.length}`);
    stream.onEnd = () => taken.push('end');
  });
  const piece = Buffer.alloc(16_384, 'x');
  peer.send(hello, frame(FrameType.HEADERS, Flag.END_HEADERS, 1, HEAD));
  for (let i = 0; i < 10; i++) peer.send(frame(FrameType.DATA, 0, 1, piece));
  peer.send(frame(FrameType.DATA, Flag.END_STREAM, 1));
  t.deepEqual(taken, [...Array.from({ length: 10 }, () => '16384'), 'end']);
  t.deepEqual(peer.requests, [], 'it is none that is answered as a whole');
  const given = peer
    .sent()
    .filter(({ type, streamId }) => type === FrameType.WINDOW_UPDATE && streamId === 1)
    .reduce((sum, { payload }) => sum + payload.readUInt32BE(0), 0);
  t.true(given >= 10 * piece.length - 100_000 / 2 - piece.length);
  t.true(peer.connection.heldBytes < 10_000);
});

test('what waits for a window is told of when it is on its way', (t) => {
  const drained: number[] = [];
  const answer = Buffer.alloc(100_000, 'x');
  const peer = new Peer((stream) => {
    stream.onDrain = () => drained.push(stream.id);
    return undefined;
  });
  peer.send(hello, request(1, ''), windowUpdate(1, 100_000));
  for (const stream of peer.held) {
    peer.connection.respond(stream, headerBlock(200, {}), false);
    peer.connection.send(stream, answer);
  }
  t.deepEqual(drained, []);
  peer.send(windowUpdate(0, 100_000));
  t.deepEqual(drained, [1]);
  t.is(peer.body(1).compare(answer), 0);
});
