/** A driver ends a session by its own timeout, which is shorter than the gateway's. */
import { setTimeout as pause } from 'node:timers/promises';
import test, { type ExecutionContext } from 'ava';
import { Gateway } from '../support/gateway.js';
import { PySpark, type PySparkClientVersion } from '../support/pyspark.js';
import { PySparkError } from '../support/pyspark-error.js';
import { RealDriver } from '../support/real-driver.js';
import { StaticDrivers } from '../support/static-drivers.js';
import { teamPolicy } from '../support/team-policy.js';
import { unusedAddress } from '../support/loopback.js';

const TIMEOUT_MS = 5_000;

/** A gateway with one driver, which ends idle sessions soon. */
async function start(t: ExecutionContext, fence: boolean): Promise<Gateway> {
  const address = await unusedAddress();
  const driver = await RealDriver.start(address, 'secret', 2, '4', {
    fence,
    sessionTimeoutMs: TIMEOUT_MS,
    conf: { 'spark.connect.session.manager.maintenanceInterval': '200ms' },
  });
  t.teardown(() => driver.kill());
  const file = new StaticDrivers();
  t.teardown(() => file.remove());
  file.set({ name: 'impatient', address, token: 'secret', fence });
  const gateway = await Gateway.start({
    policy: teamPolicy({ size: 0 }),
    settings: { drivers: { source: 'static', static_file: file.file } },
  });
  t.teardown(() => gateway.stop());
  return gateway;
}

/** A notebook of alice, and what its session is told when the driver has ended it. */
async function untilClosed(t: ExecutionContext, gateway: Gateway, version: PySparkClientVersion) {
  const pyspark = await PySpark.start(version);
  t.teardown(() => pyspark.kill());
  const url = await gateway.url();
  const getOrCreate = () => pyspark.connect('a', url, { how: 'getOrCreate' });
  const ask = () =>
    pyspark.sql('a', 'SELECT 1').then(
      ({ rows }) => rows[0]?.[0],
      (error: unknown) => error,
    );
  const { sessionId } = await getOrCreate();
  t.is(await ask(), 1);
  const told = await gateway.until(
    async () => {
      // Each request counts as use.
      await pause(TIMEOUT_MS + 1_000);
      return ask();
    },
    (answer) => answer instanceof PySparkError,
  );
  if (!(told instanceof PySparkError)) throw new Error('no error');
  t.regex(told.message, /SESSION_CLOSED/);
  // The gateway has heard the driver's answer: the session holds the driver no more.
  await gateway.until(
    () => gateway.sessions(),
    (sessions) => sessions.every(({ id }) => id !== sessionId),
  );
  return { sessionId, told, getOrCreate, ask };
}

const versions = ['4', '4.0'] as const;

test.serial('with the fence: getOrCreate() makes a new session at once', async (t) => {
  const gateway = await start(t, true);
  await Promise.all(
    versions.map(async (version) => {
      const { sessionId, told, getOrCreate, ask } = await untilClosed(t, gateway, version);
      t.is(told.errorInfo['errorClass'], 'INVALID_HANDLE.SESSION_CHANGED', version);
      t.not((await getOrCreate()).sessionId, sessionId, version);
      t.is(await ask(), 1, version);
    }),
  );
});

test.serial(
  'without the fence: the next request is told, and getOrCreate() makes a new session after it',
  async (t) => {
    const gateway = await start(t, false);
    await Promise.all(
      versions.map(async (version) => {
        const { sessionId, told, getOrCreate, ask } = await untilClosed(t, gateway, version);
        t.is(told.errorInfo['errorClass'], 'INVALID_HANDLE.SESSION_CLOSED', version);
        t.is(
          (await getOrCreate()).sessionId,
          sessionId,
          `PySpark ${version} does not take that for an end`,
        );
        const again = await ask();
        if (!(again instanceof PySparkError)) return t.fail(`${version}: ${String(again)}`);
        t.is(again.errorInfo['errorClass'], 'INVALID_HANDLE.SESSION_CHANGED', version);
        t.regex(again.message, /idle for too long.*getOrCreate\(\)/, version);
        t.not((await getOrCreate()).sessionId, sessionId, version);
        t.is(await ask(), 1, version);
      }),
    );
  },
);
