import anyTest, { type TestFn } from 'ava';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { Gateway } from '../support/gateway.js';
import { PySpark, type RawRequest } from '../support/pyspark.js';
import { PySparkError } from '../support/pyspark-error.js';
import { RowGate } from '../support/row-gate.js';
import { teamPolicy } from '../support/team-policy.js';

const HOLD_MS = 2_000;

const test = anyTest as TestFn<{ gateway: Gateway; pyspark: PySpark; gate: RowGate }>;

test.before(async (t) => {
  [t.context.gateway, t.context.pyspark] = await Promise.all([
    Gateway.start({
      policy: teamPolicy({ maximum: 1 }),
      settings: { authz: { hold_time: `${HOLD_MS}ms` }, drivers: { local: { cores: '3' } } },
    }),
    PySpark.start('4'),
  ]);
});

test.beforeEach((t) => {
  t.context.gate = new RowGate();
});

test.afterEach.always((t) => t.context.gate.remove());

test.after.always(async (t) => {
  t.is(await t.context.gateway?.stop(), 0);
  await t.context.pyspark?.kill();
});

test.serial(
  'Envoy is killed while the control plane is away: sessions go on, and nothing is cut when it is back',
  async (t) => {
    const { gateway, pyspark, gate } = t.context;
    await pyspark.connect('alice', await gateway.url({ user: 'alice' }));
    await pyspark.createTempView('alice', 'mine', 'SELECT 42 AS answer');
    const bobsUrl = await gateway.url({ user: 'bob' });

    // A control plane does not start with a policy that it cannot read; authz keeps the one it has.
    const policyFile = join(gateway.folder, 'policy.yaml');
    const policy = readFileSync(policyFile);
    writeFileSync(policyFile, 'broken');
    await gateway.kill('control-plane');
    await gateway.restart('envoy');
    t.deepEqual((await pyspark.sql('alice', 'SELECT * FROM mine')).rows, [[42]]);
    await t.throwsAsync(gateway.drivers(), undefined, 'there is no control plane');

    const query = pyspark.gated('alice', gate, 3);
    gate.open(0);
    await query.event(({ type }) => type === 'row');
    await pyspark.connect('newcomer', bobsUrl);
    const newcomer = pyspark.sql('newcomer', 'SELECT 1');
    writeFileSync(policyFile, policy);
    await gateway.until(
      () => gateway.envoys(),
      ([envoy]) => envoy?.types.EDS.state === 'SYNCED',
    );
    gate.open(1, 2);
    t.is((await query.result).rows, 3);
    t.deepEqual((await newcomer).rows, [[1]]);
    t.deepEqual((await pyspark.sql('alice', 'SELECT * FROM mine')).rows, [[42]]);
    const { sessionId } = await pyspark.identity('alice');
    const rpcs = await gateway.audit(sessionId);
    t.is(rpcs.filter(({ method }) => method === 'ReattachExecute').length, 0, 'no stream was cut');
  },
);

test.serial(
  'authz is killed while the control plane does not answer: streams go on, a request is held and then told when to come back',
  async (t) => {
    const { gateway, pyspark, gate } = t.context;
    const { sessionId } = await pyspark.connect('carol', await gateway.url({ user: 'carol' }));
    await pyspark.createTempView('carol', 'mine', 'SELECT 42 AS answer');
    const query = pyspark.gated('carol', gate, 3);
    gate.open(0);
    await query.event(({ type }) => type === 'row');
    const request: RawRequest = {
      target: `127.0.0.1:${gateway.port}`,
      method: 'Config',
      sessionId,
      userId: 'carol',
      message: { operation: { get: { keys: ['spark.master'] } } },
      metadata: [
        ['authorization', `Bearer ${await gateway.token('carol')}`],
        ['x-doordash-team', 'data'],
        ['x-doordash-environment', 'dev'],
      ],
    };

    const controlPlane = gateway.pid('control-plane');
    process.kill(controlPlane, 'SIGSTOP');
    try {
      await gateway.restart('authz');
      const askedAtMs = performance.now();
      const refusal = await t.throwsAsync(pyspark.raw(request).result, {
        instanceOf: PySparkError,
      });
      t.true(performance.now() - askedAtMs >= HOLD_MS);
      t.like(refusal, { code: 'UNAVAILABLE', reason: 'CONTROL_PLANE_UNAVAILABLE' });
      t.true((refusal?.retryAfterMs ?? 0) > 0);
      gate.open(1, 2);
      t.is((await query.result).rows, 3);
    } finally {
      process.kill(controlPlane, 'SIGCONT');
    }
    t.deepEqual((await pyspark.sql('carol', 'SELECT * FROM mine')).rows, [[42]]);
  },
);
