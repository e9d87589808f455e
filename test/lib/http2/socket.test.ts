import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { createServer, connect, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test, { type ExecutionContext } from 'ava';
import { ErrorCode, FrameType } from '../../../src/lib/http2/frame.js';
import { headerBlock } from '../../../src/lib/http2/header-block.js';
import { serveHttp2, type SocketOptions } from '../../../src/lib/http2/socket.js';
import { frame, frames, hello, request } from '../../support/http2-peer.js';
import { ManualClock } from '../../support/manual-clock.js';
import { Signal } from '../../support/signal.js';

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
