/** A team-mate on the same driver: what authz has read of a message is what the driver carries out. */
import { randomUUID } from 'node:crypto';
import test, { type ExecutionContext } from 'ava';
import { GrpcStatus } from '../../src/model/errors.js';
import { Gateway } from '../support/gateway.js';
import { PySpark, type PySparkVersion } from '../support/pyspark.js';
import { RealDriver } from '../support/real-driver.js';
import { requestForms, type RequestForm } from '../support/request-forms.js';
import { RowGate } from '../support/row-gate.js';
import { SparkClient } from '../support/spark-client.js';
import { encode } from '../support/spark-messages.js';
import { StaticDrivers } from '../support/static-drivers.js';
import { teamPolicy } from '../support/team-policy.js';
import { unusedAddress } from '../support/loopback.js';

interface World {
  readonly gateway: Gateway;
  readonly pyspark: PySpark;
  readonly client: SparkClient;
}

const versions: readonly PySparkVersion[] = ['4', '3.5'];
const ALICE = randomUUID();

/** A gateway with one driver of this Spark, which all of the team share. */
async function world(t: ExecutionContext, version: PySparkVersion): Promise<World> {
  const address = await unusedAddress();
  const driver = await RealDriver.start(address, 'secret', 2, version);
  const file = new StaticDrivers();
  file.set({ name: 'shared', address, token: 'secret' });
  const [gateway, pyspark] = await Promise.all([
    Gateway.start({
      policy: teamPolicy({ size: 0 }),
      settings: { drivers: { source: 'static', static_file: file.file } },
    }),
    PySpark.start(version),
  ]);
  const client = new SparkClient(`127.0.0.1:${gateway.port}`);
  t.teardown(async () => {
    client.close();
    await pyspark.kill();
    await gateway.stop();
    await driver.kill();
    file.remove();
  });
  return { gateway, pyspark, client };
}

/** One call of these messages by alice; answers its status, and how many responses came. */
async function call({ gateway, client }: World, method: string, messages: readonly Buffer[]) {
  const rpc = client.open(method, {
    authorization: `Bearer ${await gateway.token('alice')}`,
    'x-doordash-team': 'data',
    'x-doordash-environment': 'dev',
  });
  for (const message of messages) rpc.send(message);
  rpc.halfClose();
  const { code, details } = await rpc.status;
  return { code, details, responses: rpc.received.length };
}

function identity(sessionId: string, userId: string): Buffer {
  return encode([1, sessionId], [2, encode([1, userId])]);
}

const mine = identity(ALICE, 'alice');
const padding = encode([99, 'x'.repeat(2048)]);

/** A later copy of either field, or of both, beyond what authz reads. */
function disguises(victim: string): Readonly<Record<string, Buffer>> {
  return {
    'another session and user': identity(victim, 'bob'),
    'another session': encode([1, victim]),
    'another user': encode([2, encode([1, 'bob'])]),
  };
}

for (const version of versions) {
  test.serial(
    `Spark ${version}: no form of a request reaches a team-mate's session, each works in one's own`,
    async (t) => {
      const here = await world(t, version);
      const { gateway, pyspark } = here;
      const gate = new RowGate();
      t.teardown(() => gate.remove());
      const bob = { user: 'bob' };
      const url = await (version === '4' ? gateway.url(bob) : gateway.url35(bob));
      const { sessionId: victim } = await pyspark.connect('bob', url);
      await pyspark.createTempView('bob', 'secret', 'SELECT 42 AS v');
      await pyspark.conf('bob', 'spark.sql.session.timeZone', 'Europe/Berlin');
      const query = pyspark.gated('bob', gate, 2);
      gate.open(0);
      await query.event(({ type }) => type === 'row');

      // Her own session runs on the same driver.
      const own = await call(here, 'AnalyzePlan', [Buffer.concat([mine, encode([10, encode()])])]);
      t.is(own.code, GrpcStatus.OK, own.details);
      t.is((await gateway.driverOf(ALICE)).uid, (await gateway.driverOf(victim)).uid);

      const forms = requestForms(version, {
        operationId: randomUUID(),
        query: 'SELECT v FROM secret',
        command: 'DROP VIEW secret',
      });
      t.is(forms.length, version === '4' ? 15 : 11);
      for (const { name, method, content } of forms) {
        for (const [disguise, copy] of Object.entries(disguises(victim))) {
          const message = Buffer.concat([mine, padding, content, copy]);
          const { code, details, responses } = await call(here, method, [message]);
          t.true(
            code === GrpcStatus.PERMISSION_DENIED || code === GrpcStatus.INVALID_ARGUMENT,
            `${name} as ${disguise}: ${code} ${details}`,
          );
          t.is(responses, 0, `${name} as ${disguise}`);
        }
      }
      const artifacts = forms.find(({ method }) => method === 'AddArtifacts') as RequestForm;
      const later = await call(here, 'AddArtifacts', [
        Buffer.concat([mine, artifacts.content]),
        Buffer.concat([identity(victim, 'bob'), artifacts.content]),
      ]);
      t.is(later.code, GrpcStatus.PERMISSION_DENIED, later.details);

      // His session is as it was, and his query goes on to its end.
      gate.open(1);
      t.deepEqual(await query.result, { rows: 2 });
      t.deepEqual((await pyspark.sql('bob', 'SELECT v FROM secret')).rows, [[42]]);
      t.is(await pyspark.conf('bob', 'spark.sql.session.timeZone'), 'Europe/Berlin');

      const harmless = requestForms(version, {
        operationId: randomUUID(),
        query: 'SELECT 1',
        command: 'CREATE OR REPLACE TEMP VIEW own AS SELECT 1',
      });
      for (const { name, method, content } of harmless) {
        const { code, details } = await call(here, method, [Buffer.concat([mine, content])]);
        // An operation or an error that does not exist is told as Spark tells it.
        const unknown = method === 'ReattachExecute' || method === 'FetchErrorDetails';
        t.true(
          code === GrpcStatus.OK || (unknown && details.includes('INVALID_HANDLE')),
          `${name}: ${code} ${details}`,
        );
      }
    },
  );
}
