/** Connections that send what costs a server and asks for nothing: they end, and nobody else is held up. */
import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import anyTest, { type TestFn } from 'ava';
import { Flag, FrameType, FrameWriter } from '../../src/lib/http2/frame.js';
import { GrpcStatus } from '../../src/model/errors.js';
import { type Front, routable, startFront } from '../support/front.js';
import { HEAD, PREFACE } from '../support/http2-peer.js';
import { allow } from '../support/scripted-authz.js';
import { SparkDriver } from '../support/spark-driver.js';
import { unusedAddress } from '../support/loopback.js';

const test = anyTest as TestFn<{ front: Front; driver: SparkDriver }>;

test.before(async (t) => {
  const driver = await SparkDriver.start('driver-1', await unusedAddress());
  t.context.driver = driver;
  t.context.front = await startFront({ check: () => allow(routable(driver)) });
  await t.context.front.publish([routable(driver)]);
});

test.after.always(async (t) => {
  await t.context.front?.stop();
  await t.context.driver?.stop();
});

const EMPTY = Buffer.alloc(0);
/** More than any budget of Envoy's. */
const FRAMES = 200_000;
const AT_ONCE = 2_000;

/** The n-th frames of a flood. */
const floods: Readonly<Record<string, (writer: FrameWriter, n: number) => void>> = {
  SETTINGS: (writer) => writer.settings([[4, 65_535]]),
  PING: (writer) => writer.frame(FrameType.PING, 0, 0, Buffer.from('flooding')),
  PRIORITY: (writer, n) => writer.frame(FrameType.PRIORITY, 0, 2 * n + 1, Buffer.alloc(5, 1)),
  'empty DATA': (writer, n) => {
    if (n === 0) writer.frame(FrameType.HEADERS, Flag.END_HEADERS, 1, HEAD);
    writer.frame(FrameType.DATA, 0, 1, EMPTY);
  },
  CONTINUATION: (writer, n) => {
    if (n === 0) writer.frame(FrameType.HEADERS, 0, 1, HEAD);
    // A field that is not indexed: x: y.
    writer.frame(FrameType.CONTINUATION, 0, 1, Buffer.from([0, 1, 0x78, 1, 0x79]));
  },
  'empty CONTINUATION': (writer, n) => {
    if (n === 0) writer.frame(FrameType.HEADERS, 0, 1, HEAD);
    writer.frame(FrameType.CONTINUATION, 0, 1, EMPTY);
  },
  'requests that are taken back at once': (writer, n) => {
    writer.frame(FrameType.HEADERS, Flag.END_HEADERS, 2 * n + 1, HEAD);
    writer.number(FrameType.RST_STREAM, 2 * n + 1, 8);
  },
  WINDOW_UPDATE: (writer) => writer.number(FrameType.WINDOW_UPDATE, 0, 1),
};

/** Resolves when the other side has ended the connection. */
async function flood(socket: Socket, frame: (writer: FrameWriter, n: number) => void) {
  const end = new Promise<void>((resolve) => {
    socket.on('close', () => resolve());
  });
  socket.on('error', () => undefined);
  socket.resume();
  const first = new FrameWriter();
  first.settings([]);
  socket.write(Buffer.concat([PREFACE, first.take()]));
  let sent = 0;
  while (!socket.closed && sent < FRAMES) {
    const writer = new FrameWriter();
    for (let n = 0; n < AT_ONCE; n += 1) frame(writer, sent + n);
    sent += AT_ONCE;
    await Promise.race([new Promise((resolve) => socket.write(writer.take(), resolve)), end]);
  }
  await end;
}

for (const [what, frame] of Object.entries(floods)) {
  test.serial(
    `a flood of ${what} ends its own connection, and another client is served`,
    async (t) => {
      const { front } = t.context;
      const [host, port] = front.address.split(':');
      const socket = connect(Number(port), host);
      await once(socket, 'connect');
      const good = front.client();
      const flooding = flood(socket, frame);
      for (let n = 0; n < 20; n += 1) {
        t.is((await good.ask('Config')).code, GrpcStatus.OK);
      }
      await flooding;
      t.is((await good.ask('Config')).code, GrpcStatus.OK);
      good.close();
    },
  );
}
