/** How many connections an Envoy makes to a driver is the policy's to say, and a change of it cuts nothing. */
import anyTest, { type TestFn } from 'ava';
import { GrpcStatus } from '../../src/model/errors.js';
import { clusterName } from '../../src/model/names.js';
import { type Front, routable, startFront } from '../support/front.js';
import { allow } from '../support/scripted-authz.js';
import type { Rpc } from '../support/spark-client.js';
import { SparkDriver } from '../support/spark-driver.js';
import { unusedAddress } from '../support/loopback.js';

const test = anyTest as TestFn<{ front: Front; driver: SparkDriver }>;

/** Calls that the driver holds until a test ends them; it answers those after them at once. */
const HELD = 3;

test.before(async (t) => {
  // It takes a single stream on each connection, so that every stream wants another.
  const driver = await SparkDriver.start(
    'driver-1',
    await unusedAddress(),
    (call, { calls }) => {
      call.send('before');
      if (calls.length > HELD) call.end();
    },
    undefined,
    1,
  );
  t.context.driver = driver;
  t.context.front = await startFront({ check: () => allow(routable(driver)) });
  await t.context.front.publish([routable(driver)]);
});

test.after.always(async (t) => {
  await t.context.front?.stop();
  await t.context.driver?.stop();
});

test('what is over the limit waits, a change is in force for new streams, and open ones go on', async (t) => {
  const { front, driver } = t.context;
  const client = front.client();
  const rpcs: Rpc[] = [];
  const ask = (): Rpc => {
    const rpc = client.open('ExecutePlan');
    rpc.send('plan');
    rpc.halfClose();
    rpcs.push(rpc);
    return rpc;
  };
  await front.allowConnections(2);
  await ask().messages(1);
  await ask().messages(1);
  const { namespace } = routable(driver);
  const overflows = () =>
    front.envoy.stat(`cluster.${clusterName(namespace)}.upstream_cx_overflow`);
  ask();
  while (!((await overflows()) > 0));
  t.is(driver.connections, 2);

  await front.allowConnections(3);
  // Envoy's threads take the change over a moment after it is acknowledged.
  while (driver.calls.length < HELD) {
    ask();
    await overflows();
  }

  for (const call of driver.calls.slice(0, HELD)) {
    call.send('after');
    call.end();
  }
  // Those that were open before the change, and the one that waited for them.
  const statuses = rpcs.slice(0, 3).map(async ({ received, status }) => {
    const { code } = await status;
    return { code, received: received.join() };
  });
  t.deepEqual(await Promise.all(statuses), [
    { code: GrpcStatus.OK, received: 'before,after' },
    { code: GrpcStatus.OK, received: 'before,after' },
    { code: GrpcStatus.OK, received: 'before' },
  ]);
});
