import anyTest, { type TestFn } from 'ava';
import { SPARK_CONNECT_PORT } from '../../src/model/driver.js';
import { CuttableProxy } from '../support/cuttable-proxy.js';
import { Gateway } from '../support/gateway.js';
import { PySpark } from '../support/pyspark.js';
import { PySparkError } from '../support/pyspark-error.js';
import { RealDriver } from '../support/real-driver.js';
import { RowGate } from '../support/row-gate.js';
import { StaticDrivers, type StaticDriver } from '../support/static-drivers.js';
import { teamPolicy } from '../support/team-policy.js';
import { unusedAddress } from '../support/loopback.js';

interface Context {
  readonly file: StaticDrivers;
  /** The driver as the file names it: where the proxy is. */
  readonly etl: StaticDriver;
  readonly driver: RealDriver;
  readonly proxy: CuttableProxy;
  readonly gateway: Gateway;
  readonly four: PySpark;
  readonly three: PySpark;
  gate: RowGate;
}

const test = anyTest as TestFn<Context>;

/** Listens where the gateway believes the driver to be, and leads to it. */
function startProxy({ address }: StaticDriver, driver: RealDriver): Promise<CuttableProxy> {
  return CuttableProxy.start(`http://${driver.address}:${SPARK_CONNECT_PORT}`, {
    host: address,
    port: SPARK_CONNECT_PORT,
  });
}

test.before(async (t) => {
  const file = new StaticDrivers();
  const driver = await RealDriver.start(await unusedAddress(), 'secret', 4);
  const etl = { name: 'etl', address: await unusedAddress(), token: 'secret' };
  const proxy = await startProxy(etl, driver);
  file.set(etl);
  Object.assign(t.context, { file, etl, driver, proxy });
  const [gateway, four, three] = await Promise.all([
    Gateway.start({
      policy: teamPolicy({ size: 0 }),
      settings: { drivers: { source: 'static', static_file: file.file } },
    }),
    PySpark.start('4'),
    PySpark.start('3.5'),
  ]);
  Object.assign(t.context, { gateway, four, three });
});

test.beforeEach((t) => {
  t.context.gate = new RowGate();
});

test.afterEach.always((t) => t.context.gate.remove());

test.after.always(async (t) => {
  const { file, driver, proxy, gateway, four, three } = t.context;
  await four?.kill();
  await three?.kill();
  t.is(await gateway?.stop(), 0);
  proxy?.stop();
  await driver?.kill();
  file.remove();
});

/** Ends every connection between Envoy and the driver; new ones can be made. */
function cut(proxy: CuttableProxy): void {
  proxy.cut();
  proxy.heal();
}

/** A query of two rows on each session, of which one has come. */
async function runningQueries(clients: readonly PySpark[], session: string, gate: RowGate) {
  const queries = clients.map((client) => client.gated(session, gate, 2));
  gate.open(0);
  for (const query of queries) await query.event(({ type }) => type === 'row');
  return queries;
}

test.serial(
  'stock PySpark gives up a query whose stream is cut; its session goes on',
  async (t) => {
    const { gateway, four, three, proxy, gate } = t.context;
    await four.connect('stock', await gateway.url({ user: 'alice' }));
    await three.connect('stock', await gateway.url35({ user: 'bob' }));
    await four.createTempView('stock', 'mine', 'SELECT 42');
    await three.createTempView('stock', 'mine', 'SELECT 42');
    const queries = await runningQueries([four, three], 'stock', gate);
    cut(proxy);
    for (const { result } of queries) {
      const error = await t.throwsAsync(result, { instanceOf: PySparkError });
      t.is(error?.code, 'INTERNAL');
      t.regex(error?.message ?? '', /Received RST_STREAM/);
    }
    gate.open(1);
    t.deepEqual((await four.sql('stock', 'SELECT * FROM mine')).rows, [[42]]);
    t.deepEqual((await three.sql('stock', 'SELECT * FROM mine')).rows, [[42]]);
  },
);

test.serial("the Python helper's sessions fetch the rest of a stream that is cut", async (t) => {
  const { gateway, four, three, proxy, gate } = t.context;
  await four.connect('helped', await gateway.url({ user: 'alice' }), { how: 'helper' });
  await three.connect('helped', await gateway.url({ user: 'bob' }), { how: 'helper' });
  const queries = await runningQueries([four, three], 'helped', gate);
  cut(proxy);
  gate.open(1);
  for (const { result, events } of queries) {
    t.is((await result).rows, 2);
    t.deepEqual(
      events.flatMap((event) => (event.type === 'row' ? [event.row] : [])),
      [[0], [1]],
    );
  }
});

test.serial('a connection that is cut while nothing runs is not noticed', async (t) => {
  const { four, proxy } = t.context;
  cut(proxy);
  t.deepEqual((await four.sql('stock', 'SELECT * FROM mine')).rows, [[42]]);
});

test.serial('a driver is added to the file and taken out: no other is disturbed', async (t) => {
  const { gateway, four, file, etl, driver, gate } = t.context;
  const added = async () => (await gateway.drivers()).find(({ uid }) => uid.startsWith('added-'));
  const query = four.gated('stock', gate, 3);
  const row = (number: number) => {
    gate.open(number);
    return query.event((event) => event.type === 'row' && event.row[0] === number);
  };
  await row(0);

  const another = { ...etl, name: 'added', address: await unusedAddress() };
  const second = await startProxy(another, driver);
  t.teardown(() => second.stop());
  file.set(etl, another);
  await gateway.until(added, (seen) => seen?.phase === 'available');
  await row(1);

  file.set(etl);
  const gone = await gateway.until(added, (seen) => seen?.phase === 'gone');
  t.false(gone?.routable);
  await row(2);
  t.is((await query.result).rows, 3);
});

test.serial(
  'a file with a mistake is reported; the drivers of the last good one serve',
  async (t) => {
    const { gateway, four, file, etl } = t.context;
    file.write('drivers: nonsense');
    const problems = await gateway.until(
      async () => (await gateway.status()).problems,
      (found) => found.length > 0,
    );
    t.regex(problems.join(), /drivers\.yaml:1: /);
    t.true(await gateway.isReady());
    t.deepEqual((await four.sql('stock', 'SELECT * FROM mine')).rows, [[42]]);
    file.set(etl);
    await gateway.until(
      async () => (await gateway.status()).problems,
      (found) => found.length === 0,
    );
  },
);

test.serial('stop() returns although the driver cannot be reached', async (t) => {
  const { gateway, four, proxy } = t.context;
  const { sessionId } = await four.identity('stock');
  proxy.cut();
  await four.stop('stock');
  proxy.heal();
  t.false((await gateway.sessions()).some(({ id }) => id === sessionId));
});
