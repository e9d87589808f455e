/** Too large a message within an upload ends that upload, and nothing else of its driver. */
import { once } from 'node:events';
import { type ClientHttp2Stream, connect } from 'node:http2';
import anyTest, { type TestFn } from 'ava';
import * as fc from 'fast-check';
import { GrpcStatus } from '../../src/model/errors.js';
import { MESSAGE_LIMIT_HEADER, SPARK_CONNECT_SERVICE } from '../../src/model/names.js';
import { type Front, routable, startFront, testSettings } from '../support/front.js';
import { tries } from '../support/tries.js';
import { allow } from '../support/scripted-authz.js';
import { answerUid, type DriverCall, SparkDriver } from '../support/spark-driver.js';
import { unusedAddress } from '../support/loopback.js';

const test = anyTest as TestFn<{ front: Front; driver: SparkDriver }>;

const LIMIT = 2_000;
const POLICY_LIMIT = 1_000;

test.before(async (t) => {
  // As Spark's server does with what is no protobuf message.
  const driver = await SparkDriver.start('driver-1', await unusedAddress(), (call, self) => {
    if (call.method === 'ExecutePlan') call.send('before');
    else if (call.method !== 'AddArtifacts') answerUid(call, self);
    else {
      void call.halfClosed.then(() => {
        call.send(call.messages.map((message) => message.length).join());
        call.end();
      });
    }
  });
  t.context.driver = driver;
  t.context.front = await startFront({
    settings: { ...testSettings, drivers: { ...testSettings.drivers, maxMessageBytes: LIMIT } },
    check: (request) => {
      const policy = request.attributes?.request?.http?.headers['x-doordash-team'];
      const orders = policy === undefined ? {} : { [MESSAGE_LIMIT_HEADER]: policy };
      return allow(routable(driver), 'a-session', orders);
    },
  });
  await t.context.front.publish([routable(driver)]);
});

test.after.always(async (t) => {
  await t.context.front?.stop();
  await t.context.driver?.stop();
});

function framed(size: number): Buffer {
  const frame = Buffer.alloc(5 + size, 7);
  frame.writeUInt8(0, 0);
  frame.writeUInt32BE(size, 1);
  return frame;
}

/** An upload whose bytes go out in these pieces. */
async function upload(
  front: Front,
  pieces: readonly Buffer[],
  headers: Readonly<Record<string, string>> = {},
) {
  const session = connect(`http://${front.address}`);
  const stream: ClientHttp2Stream = session.request({
    ':method': 'POST',
    ':path': `/${SPARK_CONNECT_SERVICE}/AddArtifacts`,
    'content-type': 'application/grpc',
    te: 'trailers',
    ...headers,
  });
  const body: Buffer[] = [];
  let status: Record<string, string> = {};
  stream.on('response', (found) => (status = { ...status, ...(found as typeof status) }));
  stream.on('trailers', (trailers) => (status = { ...status, ...(trailers as typeof status) }));
  stream.on('data', (data: Buffer) => body.push(data));
  stream.on('error', () => undefined);
  const closed = once(stream, 'close');
  for (const piece of pieces) {
    if (stream.destroyed) break;
    await new Promise((resolve) => stream.write(piece, resolve));
  }
  stream.end();
  await closed;
  session.destroy();
  return {
    code: Number(status['grpc-status']),
    details: status['grpc-message'] ?? '',
    answer: Buffer.concat(body).subarray(5).toString(),
  };
}

function cut(bytes: Buffer, at: readonly number[]): Buffer[] {
  const places = [...new Set(at.map((place) => place % (bytes.length + 1)))].toSorted(
    (a, b) => a - b,
  );
  return [0, ...places].map((from, n) => bytes.subarray(from, places[n] ?? bytes.length));
}

test.serial(
  'messages of the right size arrive as they were sent, wherever they are cut',
  async (t) => {
    const { front } = t.context;
    const sizes = fc.array(fc.integer({ min: 0, max: LIMIT }), { minLength: 1, maxLength: 6 });
    const cuts = fc.array(fc.nat(20_000), { maxLength: 12 });
    await fc.assert(
      fc.asyncProperty(sizes, cuts, async (lengths, at) => {
        const { code, answer } = await upload(front, cut(Buffer.concat(lengths.map(framed)), at));
        t.is(code, GrpcStatus.OK);
        t.is(answer, lengths.join());
      }),
      { numRuns: tries(40) },
    );
  },
);

test.serial(
  'a later message that is too large is refused before the driver, and its other streams go on',
  async (t) => {
    const { front, driver } = t.context;
    const client = front.client();
    const query = client.open('ExecutePlan');
    query.send('plan');
    query.halfClose();
    await query.messages(1);
    const before = driver.calls.length;
    const large = Buffer.concat([framed(LIMIT), framed(10), framed(LIMIT + 1), framed(5)]);
    for (const at of [[], [LIMIT + 5 + 15 + 3], [LIMIT + 5 + 15 + 5], [LIMIT + 5], [1, 2, 3]]) {
      const { code, details } = await upload(front, cut(large, at));
      t.is(code, GrpcStatus.RESOURCE_EXHAUSTED);
      t.regex(details, /message of 2001 bytes is larger than what drivers accept \(2000 bytes\)/);
    }
    const uploads: readonly DriverCall[] = driver.calls.slice(before);
    for (const { messages } of uploads) {
      t.deepEqual(
        messages.map((message) => message.length),
        [LIMIT, 10, 1],
      );
    }
    t.is(driver.connections, 1);
    t.deepEqual((await client.ask('Config')).received, ['driver-1']);
    query.cancel();
  },
);

test.serial(
  'what the policy allows, which authz stamps, holds for each message, and no client can raise it',
  async (t) => {
    const { front, driver } = t.context;
    const policy = { 'x-doordash-team': String(POLICY_LIMIT), [MESSAGE_LIMIT_HEADER]: '9999' };
    const fits = Buffer.concat([framed(10), framed(POLICY_LIMIT), framed(POLICY_LIMIT)]);
    const { answer } = await upload(front, [fits], policy);
    t.is(answer, [10, POLICY_LIMIT, POLICY_LIMIT].join());
    t.is(driver.calls.at(-1)?.headers[MESSAGE_LIMIT_HEADER], undefined);

    const large = Buffer.concat([framed(10), framed(POLICY_LIMIT + 1)]);
    const refused = await upload(front, [large], policy);
    t.is(refused.code, GrpcStatus.RESOURCE_EXHAUSTED);
    t.regex(
      refused.details,
      /message of 1001 bytes is larger than the policy allows \(1000 bytes\)/,
    );
    t.deepEqual(
      driver.calls.at(-1)?.messages.map((message) => message.length),
      [10, 1],
    );

    const drivers = await upload(front, [framed(10), framed(LIMIT + 1)], {
      'x-doordash-team': '1000000',
    });
    t.regex(drivers.details, /than what drivers accept \(2000 bytes\)/);
    const own = { [MESSAGE_LIMIT_HEADER]: '1' };
    t.is((await upload(front, [framed(10)], own)).answer, '10');
  },
);
