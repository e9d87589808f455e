/** A team-mate on the same driver: what authz has read of a message is what the driver carries out. */
import { randomUUID } from 'node:crypto';
import anyTest, { type TestFn } from 'ava';
import { GrpcStatus } from '../../src/model/errors.js';
import { Gateway } from '../support/gateway.js';
import { PySpark, type PySparkVersion, type SessionIdentity } from '../support/pyspark.js';
import { requestForms, type RequestForm } from '../support/request-forms.js';
import { RowGate } from '../support/row-gate.js';
import { SparkClient } from '../support/spark-client.js';
import { sparkHome } from '../support/spark-home.js';
import { encode } from '../support/spark-messages.js';
import { teamPolicy } from '../support/team-policy.js';

interface World {
  readonly gateway: Gateway;
  readonly pyspark: PySpark;
  readonly client: SparkClient;
}

const test = anyTest as TestFn<Record<string, World>>;
const versions: readonly PySparkVersion[] = ['4', '3.5'];
const ALICE = randomUUID();
const BOB = randomUUID();

test.after.always(async (t) => {
  for (const { gateway, pyspark, client } of Object.values(t.context)) {
    client.close();
    await pyspark.kill();
    t.is(await gateway.stop(), 0);
  }
});

/** A gateway with one driver of this Spark, which all of the team share. */
async function world(version: PySparkVersion): Promise<World> {
  const [gateway, pyspark] = await Promise.all([
    Gateway.start({
      addressRange: version === '4' ? '127.91.41.0/24' : '127.91.42.0/24',
      policy: teamPolicy({ maximum: 1 }),
      settings: { drivers: { local: { spark_home: sparkHome(version), cores: 2 } } },
    }),
    PySpark.start(version),
  ]);
  return { gateway, pyspark, client: new SparkClient(`127.0.0.1:${gateway.port}`) };
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
const disguises = {
  'another session and user': identity(BOB, 'bob'),
  'another session': encode([1, BOB]),
  'another user': encode([2, encode([1, 'bob'])]),
} as const;

for (const version of versions) {
  test.serial(`Spark ${version}: no form of a request reaches a team-mate's session`, async (t) => {
    t.timeout(240_000);
    const here = await world(version);
    t.context[version] = here;
    const { gateway, pyspark } = here;
    const gate = new RowGate();
    t.teardown(() => gate.remove());
    const url = version === '4' ? gateway.url : gateway.url35;
    const connection = await url.call(gateway, {
      user: 'bob',
      parameters: { session_id: BOB },
    });
    const bob: SessionIdentity = await pyspark.connect('bob', connection);
    const victim = bob.sessionId;
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
    t.is(forms.length, version === '4' ? 15 : 13);
    const theirs = (name: keyof typeof disguises) =>
      name === 'another user' ? disguises[name] : replaceSession(disguises[name], victim);
    for (const { name, method, content } of forms) {
      for (const disguise of Object.keys(disguises) as (keyof typeof disguises)[]) {
        const message = Buffer.concat([mine, padding, content, theirs(disguise)]);
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
  });

  test.serial(`Spark ${version}: every form of a request works in one's own session`, async (t) => {
    const here = t.context[version];
    if (!here) return t.fail('the driver did not start');
    const forms = requestForms(version, {
      operationId: randomUUID(),
      query: 'SELECT 1',
      command: 'CREATE OR REPLACE TEMP VIEW own AS SELECT 1',
    });
    for (const { name, method, content } of forms) {
      const { code, details } = await call(here, method, [Buffer.concat([mine, content])]);
      // An operation or an error that does not exist is told as Spark tells it.
      const unknown = method === 'ReattachExecute' || name === 'the details of an error';
      const expected = unknown ? [GrpcStatus.NOT_FOUND, GrpcStatus.INTERNAL, GrpcStatus.OK] : [0];
      t.true(expected.includes(code), `${name}: ${code} ${details}`);
    }
  });
}

/** Clients of Spark 3.5 choose their session ids themselves. */
function replaceSession(message: Buffer, sessionId: string): Buffer {
  return Buffer.from(message.toString('latin1').replace(BOB, sessionId), 'latin1');
}
