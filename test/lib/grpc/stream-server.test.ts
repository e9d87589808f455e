import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import {
  type ChannelCredentials,
  Client,
  type ClientDuplexStream,
  credentials,
  Metadata,
  status,
  type StatusObject,
} from '@grpc/grpc-js';
import test, { type ExecutionContext } from 'ava';
import * as fc from 'fast-check';
import { pino } from 'pino';
import { asOnTheWire } from '../../../src/lib/grpc/channels.js';
import { MessageReader } from '../../../src/lib/grpc/message-reader.js';
import { fromServiceError } from '../../../src/lib/grpc/status-details.js';
import {
  GrpcStreamServer,
  type GrpcStreamServerOptions,
  type StreamHandler,
} from '../../../src/lib/grpc/stream-server.js';
import { clientCredentials } from '../../../src/lib/grpc/tls.js';
import { systemClock } from '../../../src/model/clock.js';
import { GatewayError } from '../../../src/model/errors.js';
import { TestAuthority } from '../../support/certificates.js';
import { unusedAddress } from '../../support/loopback.js';
import { ManualClock } from '../../support/manual-clock.js';
import { Signal } from '../../support/signal.js';
import { tries } from '../../support/tries.js';

// Streams.

const HOST = await unusedAddress();
const PATH = '/test.Test/Talk';
const MAX_BYTES = 2 * 1024 * 1024;
const RESTART = new GatewayError('SHUTTING_DOWN', 'It restarts: come back.');

/** Sends back what it is sent; `bad` ends the stream. */
const echo: StreamHandler = (stream) => ({
  message(bytes) {
    if (bytes.equals(Buffer.from('bad')))
      stream.fail(new GatewayError('ARGUMENT_INVALID', 'Bad ü.'));
    else stream.write(Buffer.from(bytes));
  },
  drained: () => undefined,
  closed: () => undefined,
});

/** Says who asks. */
const whoAmI: StreamHandler = (stream) => ({
  message: () => stream.write(Buffer.from(stream.peerCertificate?.subject ?? '')),
  drained: () => undefined,
  closed: () => undefined,
});

async function start(
  t: ExecutionContext,
  handler: StreamHandler | GatewayError = echo,
  options: Partial<GrpcStreamServerOptions> = {},
) {
  const server = new GrpcStreamServer({
    name: 'test',
    address: { host: HOST, port: 0 },
    handlers: new Map([[PATH, handler]]),
    maxMessageBytes: MAX_BYTES,
    clock: systemClock,
    logger: pino({ level: 'silent' }),
    ...options,
  });
  const target = `${HOST}:${await server.listen()}`;
  t.teardown(() => server.close(RESTART));
  const talk = (path = PATH, secured: ChannelCredentials = credentials.createInsecure()) => {
    const client = new Client(target, secured, {
      'grpc.use_local_subchannel_pool': 1,
      'grpc.max_receive_message_length': -1,
    });
    t.teardown(() => client.close());
    const stream = client.makeBidiStreamRequest(path, asOnTheWire, asOnTheWire, new Metadata());
    return stream.on('error', () => undefined);
  };
  return { server, talk };
}

type Talk = ClientDuplexStream<Buffer, Buffer>;

/** How it ends. What has come until then is dropped, unless somebody listens. */
function statusOf(stream: Talk): Promise<StatusObject> {
  return new Promise((resolve) => {
    stream.once('status', resolve).resume();
  });
}

function answerOf(stream: Talk): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    stream.once('data', resolve).once('error', reject);
  });
}

test('messages of any size go both ways, whole and in order', async (t) => {
  const { talk } = await start(t);
  const stream = talk();
  const sent = [0, 1, 4_091, 4_096, 4_097, 70_000, MAX_BYTES, 3].map((size) =>
    Buffer.alloc(size, `${size}.`),
  );
  const back: Buffer[] = [];
  const all = new Promise<void>((resolve) => {
    stream.on('data', (message: Buffer) => {
      back.push(message);
      if (back.length === sent.length) resolve();
    });
  });
  for (const message of sent) stream.write(message);
  await all;
  t.true(Buffer.concat(back).equals(Buffer.concat(sent)));
  t.deepEqual(
    back.map(({ length }) => length),
    sent.map(({ length }) => length),
  );
});

test('a stream that fails tells its status, message and details', async (t) => {
  const { talk } = await start(t);
  const stream = talk();
  stream.write(Buffer.from('good'));
  stream.write(Buffer.from('bad'));
  const ended = await statusOf(stream);
  t.is(ended.code, status.INVALID_ARGUMENT);
  t.is(ended.details, 'Bad ü.');
  t.is(fromServiceError({ ...ended, name: '', message: '' }).code, 'ARGUMENT_INVALID');
});

test('what cannot be taken is refused: handler, path, size of a message', async (t) => {
  const refused = await start(t, () => {
    throw new GatewayError('XDS_NODE_REFUSED', 'Not you.');
  });
  t.like(await statusOf(refused.talk()), { code: status.PERMISSION_DENIED, details: 'Not you.' });
  const unserved = await start(t, new GatewayError('METHOD_UNKNOWN', 'Use another.'));
  t.like(await statusOf(unserved.talk()), { code: status.UNIMPLEMENTED, details: 'Use another.' });
  const { talk } = await start(t);
  t.is((await statusOf(talk('/test.Test/Unknown'))).code, status.UNIMPLEMENTED);
  const large = talk();
  large.write(Buffer.alloc(MAX_BYTES + 1));
  t.is((await statusOf(large)).code, status.RESOURCE_EXHAUSTED);
});

test('a stream is over once: when its client ends it, or leaves', async (t) => {
  const over = new Signal<string>();
  let number = 0;
  const { talk } = await start(t, (stream) => {
    const name = `stream ${++number}`;
    return {
      message: (bytes) => stream.write(Buffer.from(bytes)),
      drained: () => undefined,
      closed: () => over.emit(name),
    };
  });
  const ended = talk();
  ended.end();
  t.is((await statusOf(ended)).code, status.OK);
  t.is(await over.next(), 'stream 1');
  const left = talk();
  left.write(Buffer.from('hello'));
  await answerOf(left);
  left.cancel();
  t.is(await over.next(), 'stream 2');
});

test('who is written to faster than they read is told to wait, and told when to go on', async (t) => {
  const drained = new Signal<void>();
  let accepted: boolean | undefined;
  const { talk } = await start(t, (stream) => ({
    message: () => {
      accepted = stream.write(Buffer.alloc(MAX_BYTES));
    },
    drained: () => drained.emit(),
    closed: () => undefined,
  }));
  const stream = talk();
  stream.write(Buffer.from('much'));
  const message = await answerOf(stream);
  await drained.next();
  t.is(message.length, MAX_BYTES);
  t.false(accepted);
});

test('a server that closes ends its streams with the reason', async (t) => {
  const { server, talk } = await start(t);
  const stream = talk();
  stream.write(Buffer.from('hello'));
  await answerOf(stream);
  const ended = statusOf(stream);
  await server.close(RESTART);
  t.like(await ended, { code: status.UNAVAILABLE, details: RESTART.message });
});

test('renewed certificates are used for new connections; a client needs one of the authority', async (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'stream-server-'));
  t.teardown(() => rmSync(folder, { recursive: true }));
  const clock = new ManualClock();
  const [before, after] = [new TestAuthority('before'), new TestAuthority('after')];
  const tls = before.writeFiles(folder, 'server', { commonName: 'server', ipv4: [HOST] });
  const { talk } = await start(t, whoAmI, { tls, clock });
  const ask = async (authority: TestAuthority, name: string) => {
    const files = authority.writeFiles(folder, name, { commonName: name });
    const stream = talk(PATH, clientCredentials(files));
    stream.write(Buffer.from('who am I?'));
    return (await answerOf(stream)).toString();
  };
  t.regex(await ask(before, 'one'), /CN=one/);
  await t.throwsAsync(ask(after, 'two'), { message: /UNAVAILABLE/ });
  after.writeFiles(folder, 'server', { commonName: 'server', ipv4: [HOST] });
  await clock.advance(10_000);
  t.regex(await ask(after, 'two'), /CN=two/);
  await t.throwsAsync(ask(before, 'one'), { message: /UNAVAILABLE/ });
});

// Messages in pieces.

const MOST_BYTES = 200_000;

function frame(message: Uint8Array, flag = 0): Buffer {
  const head = Buffer.from([flag, 0, 0, 0, 0]);
  head.writeUInt32BE(message.length, 1);
  return Buffer.concat([head, message]);
}

function readerOf() {
  const messages: Buffer[] = [];
  let held = 0;
  const reader = new MessageReader(MOST_BYTES, (bytes) => {
    held += bytes;
  });
  const read = (chunk: Buffer) =>
    reader.read(chunk, (message) => messages.push(Buffer.from(message)));
  return { read, messages, held: () => held };
}

/** Each byte of a long message, as text: that is compared faster. */
const told = (message: Buffer) => message.toString('latin1');

test('messages come whole, however their bytes are cut, and nothing is kept of them', (t) => {
  const message = fc
    .oneof(fc.nat(20), fc.nat(MOST_BYTES))
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
      t.deepEqual(messages.map(told), sent.map(told));
      t.is(held(), 0);
    }),
    { numRuns: tries(50) },
  );
});

test('a message that says that it is long is given room as it comes', (t) => {
  const { read, held } = readerOf();
  read(frame(Buffer.alloc(MOST_BYTES)).subarray(0, 10));
  t.true(held() > 0);
  t.true(held() <= 64 * 1024);
});

for (const [name, bytes, code] of [
  ['too long', frame(Buffer.alloc(MOST_BYTES + 1)).subarray(0, 5), 'MESSAGE_TOO_LARGE'],
  ['compressed', frame(Buffer.from('x'), 1), 'METHOD_UNKNOWN'],
] as const) {
  test(`a message is refused: ${name}`, (t) => {
    const error = t.throws(() => readerOf().read(bytes), { instanceOf: GatewayError });
    t.is(error.code, code);
  });
}
