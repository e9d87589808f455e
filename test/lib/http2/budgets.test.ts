/** What hostile peers cost: bounded memory and little time, and an end for those who go on. */
import test from 'ava';
import * as fc from 'fast-check';
import { MAX_HELD_BYTES, MAX_STREAMS } from '../../../src/lib/http2/budgets.js';
import { ErrorCode, Flag, FrameType, Setting } from '../../../src/lib/http2/frame.js';
import {
  frame,
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

const open = (streamId: number) => frame(FrameType.HEADERS, Flag.END_HEADERS, streamId, HEAD);
const ids = (count: number) => Array.from({ length: count }, (_, i) => 2 * i + 1);
const held = () => undefined;

/** Sends the same until the connection is over; returns how often. */
function floodedBy(peer: Peer, bytes: Buffer, most = 100_000): number {
  for (let sent = 1; sent <= most; sent++) {
    if (peer.send(bytes).connection.finished) return sent;
  }
  return Infinity;
}

const floods: Record<string, Buffer> = {
  'empty data': frame(FrameType.DATA, 0, 1),
  'data that is nothing but padding': frame(FrameType.DATA, Flag.PADDED, 1, Buffer.alloc(200, 199)),
  SETTINGS: settings([Setting.INITIAL_WINDOW_SIZE, 70_000]),
  'acknowledgements of SETTINGS': frame(FrameType.SETTINGS, Flag.ACK, 0),
  PING: frame(FrameType.PING, 0, 0, Buffer.alloc(8)),
  'answers to PING': frame(FrameType.PING, Flag.ACK, 0, Buffer.alloc(8)),
  PRIORITY: frame(FrameType.PRIORITY, 0, 9, Buffer.alloc(5)),
  GOAWAY: frame(FrameType.GOAWAY, 0, 0, Buffer.alloc(8)),
  'frames of an unknown type': frame(0xee, 0, 0, Buffer.alloc(100)),
  'windows of the connection': windowUpdate(0, 1),
  'windows of a stream': windowUpdate(1, 1),
};
for (const [what, bytes] of Object.entries(floods)) {
  test(`who sends nothing but this is told to calm down, and left: ${what}`, (t) => {
    const peer = new Peer(held).send(hello, open(1));
    const count = floodedBy(peer, bytes);
    t.true(count <= 4001, `after ${count}`);
    t.is(peer.goAway(), ErrorCode.ENHANCE_YOUR_CALM);
  });

  test(`now and then it is as good as anything: ${what}`, (t) => {
    const peer = new Peer(held).send(hello, open(1));
    for (let i = 0; i < 10_000; i++) {
      peer.nowMs += 20;
      peer.send(bytes);
    }
    t.false(peer.connection.finished);
  });
}

test('requests that are taken back at once end the connection, those of a crowd that leaves do not', (t) => {
  const crowd = new Peer(held).send(hello);
  for (const id of ids(MAX_STREAMS)) crowd.send(request(id, ''));
  for (const id of ids(MAX_STREAMS)) crowd.send(reset(id));
  t.is(crowd.closed.length, MAX_STREAMS);
  t.false(crowd.connection.finished);

  const attacker = new Peer(held).send(hello);
  let sent = 0;
  for (const id of ids(100_000)) {
    if (attacker.send(request(id, ''), reset(id)).connection.finished) break;
    sent++;
  }
  t.true(sent <= 2 * MAX_STREAMS, `${sent}`);
  t.is(attacker.goAway(), ErrorCode.ENHANCE_YOUR_CALM);
});

for (const [what, provoke] of Object.entries({
  'an empty window': (id: number) => windowUpdate(id, 0),
  'a window that overflows': (id: number) => windowUpdate(id, 2 ** 31 - 1),
  'data behind the end': (id: number) => frame(FrameType.DATA, 0, id, Buffer.from('x')),
})) {
  test(`who has its requests reset by ${what} is left, too`, (t) => {
    const peer = new Peer(held).send(hello);
    let sent = 0;
    for (const id of ids(100_000)) {
      if (peer.send(request(id, ''), provoke(id)).connection.finished) break;
      sent++;
    }
    t.true(sent <= 2 * MAX_STREAMS, `${sent}`);
    t.is(peer.goAway(), ErrorCode.ENHANCE_YOUR_CALM);
  });
}

test('more requests at a time than are taken are refused, to be sent elsewhere; the others go on', (t) => {
  const peer = new Peer(held).send(hello);
  const all = ids(MAX_STREAMS + 1);
  for (const id of all) peer.send(request(id, ''));
  t.is(peer.requests.length, MAX_STREAMS);
  t.is(peer.reset(all.at(-1) ?? 0), ErrorCode.REFUSED_STREAM);
  for (const stream of peer.held) peer.answer(stream, Buffer.from('x'));
  t.is(peer.closed.length, MAX_STREAMS);
  peer.connection.takeOutput();
  t.is(peer.connection.heldBytes, 0, 'nothing is kept of what is over');
});

test('bodies that never end are kept within one budget, and the requests of others are not', (t) => {
  const peer = new Peer(held, 256 * 1024).send(hello);
  const part = Buffer.alloc(16_384);
  let most = 0;
  for (const id of ids(1000)) {
    peer.send(open(id));
    for (let i = 0; i < 8; i++) peer.send(frame(FrameType.DATA, 0, id, part));
    peer.connection.takeOutput();
    most = Math.max(most, peer.connection.heldBytes);
  }
  t.true(most <= MAX_HELD_BYTES + 2 * part.length, `${most}`);
});

test('a body in pieces of one byte is read whole, and takes no more room than twice its own', (t) => {
  const peer = new Peer(undefined, 256 * 1024).send(hello, open(1));
  const body = Buffer.from(Array.from({ length: 50_000 }, (_, i) => i % 251));
  for (const byte of body) peer.send(frame(FrameType.DATA, 0, 1, Buffer.from([byte])));
  t.true(peer.connection.heldBytes < 52_000, `${peer.connection.heldBytes}`);
  peer.send(
    frame(FrameType.DATA, Flag.END_STREAM, 1),
    windowUpdate(1, 100_000),
    windowUpdate(0, 100_000),
  );
  t.is(peer.body(1).compare(body), 0);
});

test('who asks and takes no answers is left', (t) => {
  const peer = new Peer(() => Buffer.alloc(256 * 1024));
  peer.send(PREFACE, settings([Setting.INITIAL_WINDOW_SIZE, 0]));
  let asked = 0;
  for (const id of ids(2000)) {
    if (peer.send(request(id, '')).connection.finished) break;
    asked++;
  }
  t.true(asked <= MAX_HELD_BYTES / (256 * 1024), `${asked}`);
  t.is(peer.goAway(), ErrorCode.ENHANCE_YOUR_CALM);
  t.true(peer.connection.heldBytes < 1_000_000);
});

test('who asks for much at once and has room for it is left before all of it is made', (t) => {
  const peer = new Peer(() => Buffer.alloc(256 * 1024));
  peer.send(PREFACE, settings([Setting.INITIAL_WINDOW_SIZE, 2 ** 31 - 1]));
  peer.send(windowUpdate(0, 2 ** 31 - 1 - 65_535));
  peer.send(...ids(2000).map((id) => request(id, '')));
  t.true(peer.requests.length <= 1 + MAX_HELD_BYTES / (256 * 1024), `${peer.requests.length}`);
  t.is(peer.goAway(), ErrorCode.ENHANCE_YOUR_CALM);
});

test('a window that grows by single bytes costs no look at all who wait for it', (t) => {
  const peer = new Peer(() => Buffer.alloc(1000, 'x'));
  peer.send(PREFACE, settings([Setting.INITIAL_WINDOW_SIZE, 1_000_000]));
  for (const id of ids(MAX_STREAMS)) peer.send(request(id, ''));
  const sentBefore = peer.sent().length;
  for (let i = 0; i < 500; i++) peer.send(windowUpdate(0, 1));
  // Each byte is sent once, to one of those who wait.
  t.is(
    peer
      .sent()
      .filter(({ type }) => type === FrameType.DATA)
      .at(-1)?.payload.length,
    1,
  );
  t.true(peer.sent().length <= sentBefore + 2 * 500);
  peer.send(windowUpdate(0, 10_000_000));
  t.is(peer.closed.length, MAX_STREAMS);
});

test('a header block of many frames is cut off', (t) => {
  const peer = new Peer(held).send(hello, frame(FrameType.HEADERS, 0, 1, HEAD));
  const count = floodedBy(peer, frame(FrameType.CONTINUATION, 0, 1));
  t.true(count <= 16);
  t.is(peer.goAway(), ErrorCode.ENHANCE_YOUR_CALM);
});

test('whatever comes in whatever order, what is kept for a peer is bounded and its end gives all back', (t) => {
  const piece = fc.oneof(
    fc.record({ kind: fc.constant('open' as const), id: fc.integer({ min: 0, max: 400 }) }),
    fc.record({
      kind: fc.constant('data' as const),
      id: fc.integer({ min: 0, max: 400 }),
      size: fc.constantFrom(0, 1, 900, 16_384),
      end: fc.boolean(),
    }),
    fc.record({ kind: fc.constant('reset' as const), id: fc.integer({ min: 0, max: 400 }) }),
    fc.record({
      kind: fc.constant('window' as const),
      id: fc.integer({ min: 0, max: 400 }),
      size: fc.integer({ min: 1, max: 100_000 }),
    }),
    fc.record({
      kind: fc.constant('settings' as const),
      size: fc.integer({ min: 0, max: 90_000 }),
    }),
  );
  fc.assert(
    fc.property(fc.array(piece, { maxLength: 300 }), (pieces) => {
      const peer = new Peer((stream) => stream.body(), 200_000).send(hello);
      for (const one of pieces) {
        const id = 'id' in one ? 2 * one.id + 1 : 0;
        if (one.kind === 'open') peer.send(open(id));
        else if (one.kind === 'reset') peer.send(reset(id));
        else if (one.kind === 'window') peer.send(windowUpdate(id, one.size));
        else if (one.kind === 'settings') {
          peer.send(settings([Setting.INITIAL_WINDOW_SIZE, one.size]));
        } else {
          const flags = one.end ? Flag.END_STREAM : 0;
          peer.send(frame(FrameType.DATA, flags, id, Buffer.alloc(one.size)));
        }
        t.true(peer.connection.heldBytes <= MAX_HELD_BYTES + 1_000_000);
      }
      peer.connection.takeOutput();
      peer.connection.disconnected();
      t.is(peer.connection.heldBytes, 0);
    }),
    { numRuns: tries(200) },
  );
});
