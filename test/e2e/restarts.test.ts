import anyTest, { type TestFn } from 'ava';
import { Gateway } from '../support/gateway.js';
import { processEnded } from '../support/process-ended.js';
import { PySpark, type RawRequest } from '../support/pyspark.js';
import { PySparkError } from '../support/pyspark-error.js';
import { RowGate } from '../support/row-gate.js';
import { teamPolicy } from '../support/team-policy.js';

const test = anyTest as TestFn<{ gateway: Gateway; pyspark: PySpark; gate: RowGate }>;

test.before(async (t) => {
  [t.context.gateway, t.context.pyspark] = await Promise.all([
    Gateway.start({
      policy: teamPolicy({ maximum: 1 }),
      // Two for the query under way, one for what is asked beside it.
      settings: { drivers: { local: { cores: '3' } } },
    }),
    PySpark.start('4'),
  ]);
  const { gateway, pyspark } = t.context;
  await pyspark.connect('alice', await gateway.url({ user: 'alice' }));
  await pyspark.createTempView('alice', 'mine', 'SELECT 42 AS answer');
});

test.beforeEach((t) => {
  t.context.gate = new RowGate();
});

test.afterEach.always((t) => t.context.gate.remove());

test.after.always(async (t) => {
  const { gateway, pyspark } = t.context;
  const drivers = (await gateway?.drivers()) ?? [];
  const pids = drivers.map(({ uid }) => gateway.driverPid(uid));
  t.is(await gateway?.stop(), 0);
  await Promise.all(pids.map((pid) => processEnded(pid)));
  await pyspark?.kill();
});

/** A query of three rows, of which one has come. */
async function runningQuery({ pyspark, gate }: { pyspark: PySpark; gate: RowGate }) {
  const query = pyspark.gated('alice', gate, 3);
  gate.open(0);
  await query.event(({ type }) => type === 'row');
  return query;
}

test.serial('the control plane is killed: a query goes on, a new session waits', async (t) => {
  const { gateway, pyspark, gate } = t.context;
  const { sessionId } = await pyspark.identity('alice');
  const before = await gateway.driverOf(sessionId);
  const pid = gateway.driverPid(before.uid);
  const query = await runningQuery(t.context);

  process.kill(gateway.pid('control-plane'), 'SIGSTOP');
  await pyspark.connect('newcomer', await gateway.url({ user: 'bob' }));
  const newcomer = pyspark.sql('newcomer', 'SELECT 1');
  t.deepEqual((await pyspark.sql('alice', 'SELECT * FROM mine')).rows, [[42]]);
  await gateway.restart('control-plane');
  gate.open(1, 2);
  t.is((await query.result).rows, 3);

  const after = await gateway.driverOf(sessionId);
  t.is(after.uid, before.uid);
  t.is(gateway.driverPid(after.uid), pid);
  t.deepEqual((await pyspark.sql('alice', 'SELECT * FROM mine')).rows, [[42]]);
  t.deepEqual((await newcomer).rows, [[1]]);
  await pyspark.stop('newcomer');
});

test.serial('authz is killed: UNAVAILABLE meanwhile, which PySpark waits out', async (t) => {
  const { gateway, pyspark, gate } = t.context;
  const { sessionId } = await pyspark.identity('alice');
  const query = await runningQuery(t.context);
  const request: RawRequest = {
    target: `127.0.0.1:${gateway.port}`,
    method: 'Config',
    sessionId,
    userId: 'alice',
    message: { operation: { get: { keys: ['spark.master'] } } },
    metadata: [
      ['authorization', `Bearer ${await gateway.token('alice')}`],
      ['x-doordash-team', 'data'],
      ['x-doordash-environment', 'dev'],
    ],
  };
  await gateway.kill('authz');
  const patient = pyspark.sql('alice', 'SELECT * FROM mine');
  const refusals: PySparkError[] = [];
  for (let answered = false; !answered;) {
    answered = await pyspark.raw(request).result.then(
      () => true,
      (error: unknown) => {
        if (!(error instanceof PySparkError)) throw error;
        refusals.push(error);
        return false;
      },
    );
  }
  t.true(refusals.length > 0);
  t.deepEqual([...new Set(refusals.map(({ code }) => code))], ['UNAVAILABLE']);
  t.regex(refusals[0]?.details ?? '', /authorization service does not answer; retry/);
  t.deepEqual((await patient).rows, [[42]]);
  gate.open(1, 2);
  t.is((await query.result).rows, 3);
});

test.serial('Envoy is killed: stock PySpark reattaches its query', async (t) => {
  const { gateway, pyspark, gate } = t.context;
  const { sessionId } = await pyspark.identity('alice');
  const before = await gateway.driverOf(sessionId);
  const query = await runningQuery(t.context);
  await gateway.restart('envoy');
  gate.open(1, 2);
  t.is((await query.result).rows, 3);
  t.is((await gateway.driverOf(sessionId)).uid, before.uid);
  t.deepEqual((await pyspark.sql('alice', 'SELECT * FROM mine')).rows, [[42]]);
});

test.serial('the whole gateway is killed: the driver and its sessions outlive it', async (t) => {
  const { gateway, pyspark, gate } = t.context;
  const { sessionId } = await pyspark.identity('alice');
  const { uid } = await gateway.driverOf(sessionId);
  const pid = gateway.driverPid(uid);
  const query = await runningQuery(t.context);

  await gateway.crash();
  gate.open(1, 2);
  const patient = pyspark.sql('alice', 'SELECT * FROM mine');
  await gateway.startAgain();
  t.deepEqual((await patient).rows, [[42]]);
  t.is((await query.result).rows, 3);
  t.is((await gateway.driverOf(sessionId)).uid, uid);
  t.is(gateway.driverPid(uid), pid);
});
