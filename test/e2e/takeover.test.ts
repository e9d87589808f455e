import anyTest, { type TestFn } from 'ava';
import { SPARK_CONNECT_PORT } from '../../src/model/driver.js';
import { Gateway } from '../support/gateway.js';
import { PySpark, type RawRequest } from '../support/pyspark.js';
import { PySparkError } from '../support/pyspark-error.js';
import { RealDriver } from '../support/real-driver.js';
import { StaticDrivers } from '../support/static-drivers.js';
import { teamPolicy } from '../support/team-policy.js';
import { unusedAddress } from '../support/loopback.js';

interface Context {
  readonly address: string;
  readonly file: StaticDrivers;
  readonly gateway: Gateway;
  readonly pyspark: PySpark;
  /** Those that run. */
  readonly running: RealDriver[];
}

const test = anyTest as TestFn<Context>;

test.before(async (t) => {
  const running: RealDriver[] = [];
  const file = new StaticDrivers();
  const address = await unusedAddress();
  Object.assign(t.context, { running, file, address });
  const gateway = await Gateway.start({
    policy: teamPolicy({ size: 0 }),
    settings: {
      drivers: { source: 'static', static_file: file.file },
      // An address rests for as long before another driver may have it.
      assignments: { cache_ttl: '1s' },
    },
  });
  Object.assign(t.context, { gateway, pyspark: await PySpark.start('4') });
  running.push(await RealDriver.start(address, 'token-of-first'));
  file.set({ name: 'first', address, token: 'token-of-first' });
});

test.after.always(async (t) => {
  const { pyspark, gateway, running, file } = t.context;
  await pyspark?.kill();
  t.is(await gateway?.stop(), 0);
  for (const driver of running) await driver.kill();
  file.remove();
});

test.serial('who goes round the gateway needs the token of the driver itself', async (t) => {
  const { gateway, pyspark, address } = t.context;
  const { sessionId } = await pyspark.connect('alice', await gateway.url({ user: 'alice' }));
  await pyspark.createTempView('alice', 'mine', "SELECT 'of alice' AS text");
  const request: RawRequest = {
    target: `${address}:${SPARK_CONNECT_PORT}`,
    method: 'Config',
    sessionId,
    userId: 'alice',
    message: { operation: { get: { keys: ['spark.master'] } } },
  };
  const aliceToken = await gateway.token('alice');
  for (const token of [undefined, 'token-of-another', aliceToken]) {
    const metadata = token === undefined ? [] : [['authorization', `Bearer ${token}`] as const];
    const error = await t.throwsAsync(pyspark.raw({ ...request, metadata }).result, {
      instanceOf: PySparkError,
    });
    t.is(error?.code, 'UNAUTHENTICATED');
  }
  const metadata = [['authorization', 'Bearer token-of-first'] as const];
  t.is((await pyspark.raw({ ...request, metadata }).result).responses.length, 1);
});

test.serial('a process that took the address of a driver turns its sessions away', async (t) => {
  const { pyspark, running, address } = t.context;
  await running.pop()?.kill();
  running.push(await RealDriver.start(address, 'token-of-second'));
  // The file still says that it is the first.
  const error = await t.throwsAsync(pyspark.sql('alice', 'SELECT * FROM mine'), {
    instanceOf: PySparkError,
  });
  t.is(error?.code, 'UNAUTHENTICATED');
  t.regex(error?.message ?? '', /Invalid authentication token/);
});

test.serial('a new driver waits until nothing leads to its address for the old one', async (t) => {
  const { gateway, file, address } = t.context;
  const second = async () => (await gateway.drivers()).find(({ uid }) => uid.startsWith('second-'));
  // An Envoy that has not confirmed the removal of the first could still send its requests there.
  const envoy = gateway.pid('envoy');
  process.kill(envoy, 'SIGSTOP');
  t.teardown(() => process.kill(envoy, 'SIGCONT'));
  file.set({ name: 'second', address, token: 'token-of-second' });
  const withheld = await gateway.until(second, (driver) => driver?.condition === 'ready');
  t.is(withheld?.phase, 'warming');
  t.false(withheld?.routable);
  t.regex(withheld?.problem ?? '', /held by driver first-\w+, which is gone but not yet forgotten/);

  process.kill(envoy, 'SIGCONT');
  const open = await gateway.until(second, (driver) => driver?.phase === 'available');
  t.true(open?.routable);
});

test.serial('the old session ends and the new one begins, each with its own data', async (t) => {
  const { gateway, pyspark } = t.context;
  await pyspark.connect('bob', await gateway.url({ user: 'bob' }));
  await pyspark.createTempView('bob', 'mine', "SELECT 'of bob' AS text");
  const error = await t.throwsAsync(pyspark.sql('alice', 'SELECT * FROM mine'), {
    instanceOf: PySparkError,
  });
  t.is(error?.condition, 'INVALID_HANDLE.SESSION_CHANGED');
  t.deepEqual((await pyspark.sql('bob', 'SELECT * FROM mine')).rows, [['of bob']]);
});
