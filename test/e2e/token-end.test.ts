/** A token that ends while its session goes on. */
import { join } from 'node:path';
import anyTest, { type TestFn } from 'ava';
import { DevelopmentKeys, ISSUER_KEYS_FILE, mintToken } from '../../src/issuer/tokens.js';
import { developmentPolicy } from '../support/development-policy.js';
import { Gateway } from '../support/gateway.js';
import { PySpark } from '../support/pyspark.js';
import { PySparkError } from '../support/pyspark-error.js';
import { RowGate } from '../support/row-gate.js';

const test = anyTest as TestFn<{ gateway: Gateway; pyspark: PySpark; gate: RowGate }>;

/** What the policy of the development issuer lets clocks differ. */
const CLOCK_SKEW_MS = 60_000;

test.before(async (t) => {
  [t.context.gateway, t.context.pyspark] = await Promise.all([
    Gateway.start({
      policy: developmentPolicy({ size: 1, maximum: 1 }),
      settings: {
        authz: { expired_token_grace: '0s' },
        drivers: {
          local: {
            spark_conf: { 'spark.connect.execute.reattachable.senderMaxStreamDuration': '2s' },
          },
        },
      },
    }),
    PySpark.start('4'),
  ]);
  t.context.gate = new RowGate();
});

test.after.always(async (t) => {
  t.context.gate?.remove();
  await t.context.pyspark?.kill();
  t.is(await t.context.gateway?.stop(), 0);
});

/** A token of alice's that is good for so much longer. */
async function tokenFor(gateway: Gateway, leftMs: number): Promise<string> {
  const keys = await DevelopmentKeys.open(join(gateway.folder, 'state', ISSUER_KEYS_FILE));
  return mintToken(keys, 'alice', {
    issuer: gateway.issuer,
    audience: 'api://spark-gateway',
    clientId: 'spark-gateway-development',
    issuedAtMs: Date.now() + leftMs - CLOCK_SKEW_MS - 3_600_000,
    ttlMs: 3_600_000,
  });
}

test.serial(
  'a query is finished with the token that it began with, and the session goes on with a new one',
  async (t) => {
    const { gateway, pyspark, gate } = t.context;
    const { sessionId } = await pyspark.connect('first', await gateway.url({ user: 'alice' }));
    await pyspark.createTempView('first', 'kept', "SELECT 'still here' AS text");

    const parameters = { session_id: sessionId };
    const token = await tokenFor(gateway, 20_000);
    await pyspark.connect('ending', await gateway.url({ user: 'alice', token, parameters }));
    const query = pyspark.gated('ending', gate, 3);
    gate.open(0);
    await query.event(({ type }) => type === 'row');

    // Whatever begins anew is refused from the token's end on. The driver has one core, which the query
    // holds: before that end, only what needs no task is answered.
    await gateway.until(
      () =>
        pyspark.conf('ending', 'spark.sql.shuffle.partitions').then(
          () => undefined,
          (error: unknown) => error,
        ),
      (failed) => failed instanceof PySparkError,
    );
    const refused = await t.throwsAsync(pyspark.sql('ending', 'SELECT 1'), {
      instanceOf: PySparkError,
    });
    t.is(refused?.reason, 'TOKEN_EXPIRED');
    t.true(refused?.message.includes(`;session_id=${sessionId};token=<token>").create()`));
    gate.open(1);
    await query.event((event) => event.type === 'row');
    gate.open(2);
    t.deepEqual(await query.result, { rows: 3 });

    await pyspark.connect('renewed', await gateway.url({ user: 'alice', parameters }));
    t.deepEqual((await pyspark.sql('renewed', 'SELECT * FROM kept')).rows, [['still here']]);
  },
);
