/** A driver's node that vanishes: no FIN, no RST, no ICMP, data in flight. */
import test, { type ExecutionContext } from 'ava';
import { GrpcStatus } from '../../src/model/errors.js';
import { FarDriver, whyNoFarDriver } from '../support/far-driver.js';
import { startFront, testSettings } from '../support/front.js';
import { allow } from '../support/scripted-authz.js';

const missing = whyNoFarDriver();
// It is counted as skipped where it cannot run, and it must run in CI.
const here = missing === undefined || process.env['CI'] ? test.serial : test.serial.skip;

async function setUp(t: ExecutionContext, unacknowledgedMs?: number) {
  if (missing !== undefined) throw new Error(missing);
  const driver = await FarDriver.start();
  t.teardown(() => driver.stop());
  const { routable } = driver;
  const front = await startFront({
    settings: {
      ...testSettings,
      drivers: {
        ...testSettings.drivers,
        connectTimeoutMs: 1_000,
        ...(unacknowledgedMs === undefined ? {} : { unacknowledgedMs }),
      },
    },
    check: () => allow(routable),
  });
  t.teardown(() => front.stop());
  await front.publish([routable]);
  return { driver, client: front.client(), front };
}

here('whoever waits for an answer of a vanished node gets UNAVAILABLE', async (t) => {
  const { driver, client } = await setUp(t, 3_000);
  t.deepEqual((await client.ask('Config')).received, ['far-driver']);
  const waiting = client.open('ExecutePlan');
  waiting.send('plan');
  waiting.halfClose();
  const streaming = client.open('ReattachExecute');
  streaming.send('reattach');
  streaming.halfClose();
  await streaming.messages(1);
  driver.vanish();
  // Data that nobody acknowledges.
  const sent = await client.ask('Config');
  t.is(sent.code, GrpcStatus.UNAVAILABLE);
  t.is((await waiting.status).code, GrpcStatus.UNAVAILABLE);
  // After its headers Envoy has no other way than to reset a stream.
  t.is((await streaming.status).code, GrpcStatus.INTERNAL);
  t.is((await client.ask('Config')).code, GrpcStatus.UNAVAILABLE);
});

here('as the gateway is set, that takes less than a minute', async (t) => {
  const { driver, client } = await setUp(t);
  t.deepEqual((await client.ask('Config')).received, ['far-driver']);
  driver.vanish();
  t.is((await client.ask('Config')).code, GrpcStatus.UNAVAILABLE);
});
