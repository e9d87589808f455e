/** What a client is told when there is no driver to go to. */
import anyTest, { type TestFn } from 'ava';
import { GrpcStatus } from '../../src/model/errors.js';
import { type Front, routable, startFront, testSettings } from '../support/front.js';
import { allow, refuse } from '../support/scripted-authz.js';
import { SparkDriver } from '../support/spark-driver.js';
import { unusedAddress } from '../support/loopback.js';

const test = anyTest as TestFn<{ front: Front; driver: SparkDriver }>;

test.before(async (t) => {
  t.context.driver = await SparkDriver.start('driver-1', await unusedAddress());
  t.context.front = await startFront({
    settings: {
      ...testSettings,
      authz: { ...testSettings.authz, longestHoldMs: 300, marginMs: 300 },
    },
  });
  await t.context.front.publish([routable(t.context.driver)]);
});

test.after.always(async (t) => {
  await t.context.front?.stop();
  await t.context.driver?.stop();
});

test.serial('a refusal by authz keeps its status and message', async (t) => {
  const { front } = t.context;
  front.authz.check = () =>
    refuse(GrpcStatus.PERMISSION_DENIED, 'ask the search team', 'NAMESPACE_REFUSED');
  const { code, details } = await front.client().ask('Config');
  t.is(code, GrpcStatus.PERMISSION_DENIED);
  t.is(details, 'ask the search team');
});

test.serial('while authz is down, the client gets UNAVAILABLE, which it retries', async (t) => {
  const { front, driver } = t.context;
  front.authz.check = () => allow(routable(driver));
  front.authz.stop();
  const client = front.client();
  const { code, details } = await client.ask('Config');
  t.is(code, GrpcStatus.UNAVAILABLE);
  t.regex(details, /authorization service does not answer/);
  t.is(driver.calls.length, 0);
  await front.authz.restart();
  t.deepEqual((await client.ask('Config')).received, ['driver-1']);
});

test.serial(
  'an authz that never answers is given up on, and the client gets UNAVAILABLE',
  async (t) => {
    const { front, driver } = t.context;
    const before = driver.calls.length;
    front.authz.check = () => new Promise(() => undefined);
    t.is((await front.client().ask('Config')).code, GrpcStatus.UNAVAILABLE);
    t.is(driver.calls.length, before);
  },
);

test.serial(
  'a client stream that never sends its first message is ended by a timeout',
  async (t) => {
    const { front } = t.context;
    const asked = front.authz.requests.length;
    const rpc = front.client().open('AddArtifacts');
    const { code, details } = await rpc.status;
    t.is(code, GrpcStatus.UNAVAILABLE);
    t.regex(details, /sent nothing for too long/);
    t.is(front.authz.requests.length, asked);
  },
);

test.serial('a small client stream reaches its driver when it ends', async (t) => {
  const { front, driver } = t.context;
  front.authz.check = () => allow(routable(driver));
  const rpc = front.client().open('AddArtifacts');
  rpc.send('small');
  rpc.halfClose();
  t.is((await rpc.status).code, GrpcStatus.OK);
  t.deepEqual(rpc.received, ['driver-1']);
});

test.serial('a stamped stream may be silent for longer than any timeout', async (t) => {
  const { front, driver } = t.context;
  front.authz.check = () => allow(routable(driver));
  const silent = front.client().open('AddArtifacts');
  // More than Envoy waits for before it asks.
  silent.send('m'.repeat(5_000));
  // A stream without a driver is ended by its timeout; the stamped one, which is older, is not.
  const ended = await front.client().open('AddArtifacts').status;
  t.is(ended.code, GrpcStatus.UNAVAILABLE);
  silent.halfClose();
  t.is((await silent.status).code, GrpcStatus.OK);
});

test.serial('nothing but Spark Connect is served, and authz is not asked about it', async (t) => {
  const { front } = t.context;
  const asked = front.authz.requests.length;
  const rpc = front.client().open('Check', {}, 'grpc.health.v1.Health');
  rpc.halfClose();
  const { code, details } = await rpc.status;
  t.is(code, GrpcStatus.UNIMPLEMENTED);
  t.regex(details, /spark\.connect\.SparkConnectService/);
  t.is(front.authz.requests.length, asked);
});

/**
 * Envoy can answer with a status only until it has passed the response's headers on. After that it
 * resets the stream, which clients see as INTERNAL; no setting of Envoy 1.40 changes that.
 */
for (const [when, answered, status] of [
  ['before the first answer', false, GrpcStatus.UNAVAILABLE],
  ['in the middle of the answer', true, GrpcStatus.INTERNAL],
] as const) {
  test.serial(`a driver that is cut off ${when}`, async (t) => {
    const { front } = t.context;
    const driver = await SparkDriver.start('driver-2', await unusedAddress(), () => undefined);
    t.teardown(() => driver.stop());
    await front.publish([routable(t.context.driver), routable(driver)]);
    front.authz.check = () => allow(routable(driver));
    const arrived = driver.nextCall();
    const rpc = front.client().open('ExecutePlan');
    rpc.send('plan');
    rpc.halfClose();
    const call = await arrived;
    if (answered) {
      call.send('row');
      await rpc.messages(1);
    }
    driver.cut();
    t.is((await rpc.status).code, status);
    t.is(t.context.driver.calls.filter(({ method }) => method === 'ExecutePlan').length, 0);
  });
}
