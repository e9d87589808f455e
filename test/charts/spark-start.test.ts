/**
 * The start command of each Spark chart, run as it is rendered: on a read-only root file system, as a
 * user without a passwd entry, with the files of the rendered ConfigMaps, until a PySpark client has
 * its answer.
 */
import { randomUUID } from 'node:crypto';
import { readFileSync } from 'node:fs';
import test, { type ExecutionContext } from 'ava';
import { FENCE_JAR } from '../../src/discovery/local/spark-command.js';
import { requestIdentity } from '../../src/model/request-identity.js';
import { PySpark } from '../support/pyspark.js';
import { helm, one, type Rendered, type RenderOptions } from './helm.js';
import {
  listens,
  type PodTemplate,
  Sandbox,
  type SandboxPod,
  SHUFFLE,
  SHUFFLED,
} from './sandbox.js';
import { unusedAddress } from '../support/loopback.js';

/** What Kubernetes gives to pods. */
const SERVER = await unusedAddress();
const MASTER = await unusedAddress();
const WORKER = await unusedAddress();

const homes = {
  '3.5': process.env['SPARK_3_5_HOME'] ?? '',
  '4.1': process.env['SPARK_4_1_HOME'] ?? '',
};

/** Small enough for a machine that runs other tests. */
const small = { 'driver.memory': '512m', 'executor.memory': '512m', 'executor.instances': 1 };

function under(prefix: string, values: Readonly<Record<string, unknown>>) {
  return Object.fromEntries(Object.entries(values).map(([name, value]) => [prefix + name, value]));
}

function pod(objects: readonly Rendered[], kind: string, name: string, ip: string): SandboxPod {
  const { template } = one(objects, kind, name)['spec'] as { template: PodTemplate };
  return { name: `${name}-0`, ip, template };
}

function sandbox(
  t: ExecutionContext,
  version: keyof typeof homes,
  objects: readonly Rendered[],
  pods: readonly SandboxPod[],
  more: Partial<ConstructorParameters<typeof Sandbox>[0]> = {},
): Sandbox {
  const made = new Sandbox({
    objects,
    namespace: 'team',
    pods,
    sparkHome: homes[version],
    ...more,
  });
  t.teardown(() => made.stop());
  return made;
}

async function client(t: ExecutionContext, version: '3.5' | '4'): Promise<PySpark> {
  const pyspark = await PySpark.start(version);
  t.teardown(() => pyspark.kill());
  return pyspark;
}

const server41 = (set: RenderOptions['set']) => {
  const objects = helm.objects('charts/spark-4.1', {
    set: { ...small, 'sparkConnect.backendMode': 'local', ...set },
  });
  return { objects, pod: pod(objects, 'StatefulSet', 'sc-spark-connect', SERVER) };
};

test.serial('Spark 4.1 starts as its chart says, and answers a stock client', async (t) => {
  const odd = ` leading, 'single' "double" $(id) \`id\` ; # ! = : \\ back\\slash\nnext\tline ünïcødé ☃`;
  const { objects, pod: server } = server41({
    sparkConf: { 'spark.test.odd': odd, 'spark.test.name': '${POD_NAME} ${HOME}' },
    unityCatalog: {
      enabled: true,
      catalog: 'lake',
      uri: 'http://127.0.0.1:1/',
      existingSecret: 'unity',
    },
  });
  const token = 'a=b #c\\d ${POD_NAME} é';
  const made = sandbox(t, '4.1', objects, [server], { secrets: { unity: { token } } });
  const running = made.start(server.name);
  await listens(running, server.ip, 15002);
  const pyspark = await client(t, '4');
  await pyspark.connect('s', `sc://${server.ip}:15002/;user_id=u`);
  t.deepEqual((await pyspark.sql('s', SHUFFLE)).rows, SHUFFLED);
  t.is(await pyspark.conf('s', 'spark.test.odd'), odd.trim());
  t.is(await pyspark.conf('s', 'spark.test.name'), `${server.name} \${HOME}`);
  t.is(await pyspark.conf('s', 'spark.sql.catalog.lake.token'), token);
  t.is(await pyspark.conf('s', 'spark.connect.session.manager.defaultSessionTimeout'), '24h');

  const metrics = await fetch(`http://${server.ip}:4040/metrics/prometheus/`);
  t.is(metrics.status, 200);
  t.regex(await metrics.text(), /^metrics_.*_driver_BlockManager_/m);

  running.process.release();
  t.is(await running.process.ended, 143, 'SIGTERM reaches the server itself');
});

test.serial('Spark 4.1 with a token asks its clients for it', async (t) => {
  const { objects, pod: server } = server41({ 'driverToken.existingSecret': 'driver' });
  const made = sandbox(t, '4.1', objects, [server], { secrets: { driver: { token: 'secret' } } });
  const running = made.start(server.name);
  await listens(running, server.ip, 15002);
  const pyspark = await client(t, '4');
  const refused = await t.throwsAsync(
    pyspark
      .connect('without', `sc://${server.ip}:15002/;user_id=u`)
      .then(() => pyspark.sql('without', 'SELECT 1')),
  );
  t.regex(refused?.message ?? '', /[Uu]nauthenticated|UNAUTHENTICATED|[Aa]uthentication/);
});

/** As `kubectl create configmap driver-fence --from-file=driver-fence.jar` makes it. */
function fenceConfigMap(): Rendered {
  return {
    apiVersion: 'v1',
    kind: 'ConfigMap',
    metadata: { name: 'driver-fence' },
    binaryData: { 'driver-fence.jar': readFileSync(FENCE_JAR).toString('base64') },
  };
}

for (const [version, chart, client35] of [
  ['4.1', 'spark-4.1', false],
  ['3.5', 'spark-3.5', true],
] as const) {
  test.serial(
    `Spark ${version} with the fence of a ConfigMap refuses what is of another session than the gateway has checked`,
    async (t) => {
      const ip = await unusedAddress();
      const values = {
        ...small,
        'sparkConnect.backendMode': 'local',
        'driverToken.existingSecret': 'driver',
        'driverFence.enabled': true,
        'driverFence.configMap': 'driver-fence',
      };
      const objects = [
        ...helm.objects(`charts/${chart}`, {
          set: client35 ? under('spark-connect.', values) : values,
        }),
        fenceConfigMap(),
      ];
      const server = pod(objects, 'StatefulSet', 'sc-spark-connect', ip);
      const made = sandbox(t, version, objects, [server], {
        secrets: { driver: { token: 'secret' } },
        ...(client35
          ? { seeds: { 'work-dir/.ivy2': process.env['SPARK_3_5_CONNECT'] ?? '' } }
          : {}),
      });
      await listens(made.start(server.name), ip, 15002);
      const pyspark = await client(t, client35 ? '3.5' : '4');
      const [own, foreign] = [randomUUID(), randomUUID()];
      // As Envoy passes it on: the driver's token, and what authz has stamped.
      const url = (session: string, stamped: string | undefined, token = 'secret') =>
        [
          `sc://${ip}:15002/;user_id=u;session_id=${session}`,
          `authorization=${encodeURIComponent(`Bearer ${token}`)}`,
          ...(stamped === undefined
            ? []
            : [`x-spark-identity=${encodeURIComponent(requestIdentity(stamped, 'u'))}`]),
        ].join(';');
      const ask = async (name: string, ...parameters: Parameters<typeof url>) => {
        await pyspark.connect(name, url(...parameters));
        return (await pyspark.sql(name, SHUFFLE)).rows;
      };
      t.deepEqual(await ask('own', own, own), SHUFFLED);
      const refused = await t.throwsAsync(ask('foreign', foreign, own));
      t.regex(refused?.message ?? '', /of another session or user than the gateway has checked/);
      const wrong = await t.throwsAsync(ask('wrong', own, own, 'guessed'));
      t.regex(wrong?.message ?? '', /UNAUTHENTICATED|Invalid authentication token/);
      t.deepEqual(await ask('worker', randomUUID(), undefined), SHUFFLED);
    },
  );
}

test.serial(
  'Spark 3.5 runs its executors in the standalone cluster of its chart, and answers a stock client',
  async (t) => {
    const objects = helm.objects('charts/spark-3.5', {
      set: {
        'spark-connect.sparkConnect.backendMode': 'standalone',
        ...under('spark-connect.', small),
        'spark-standalone.workers.memory': '1g',
        'spark-standalone.master.memory': '256m',
      },
    });
    const server = pod(objects, 'StatefulSet', 'sc-spark-connect', SERVER);
    const master = pod(objects, 'StatefulSet', 'sc-spark-master', MASTER);
    const worker = pod(objects, 'Deployment', 'sc-spark-worker', WORKER);
    const made = sandbox(t, '3.5', objects, [server, master, worker], {
      // What Ivy has fetched: this test has no network.
      seeds: { 'work-dir/.ivy2': process.env['SPARK_3_5_CONNECT'] ?? '' },
    });
    await listens(made.start(master.name), master.ip, 7077);
    await listens(made.start(worker.name), worker.ip, 7078);
    const running = made.start(server.name);
    await listens(running, server.ip, 15002);
    const pyspark = await client(t, '3.5');
    await pyspark.connect('s', `sc://${server.ip}:15002/;user_id=u`);
    t.deepEqual((await pyspark.sql('s', SHUFFLE)).rows, SHUFFLED);
    t.regex(
      (await pyspark.conf('s', 'spark.master')) ?? '',
      /^spark:\/\/sc-spark-master\.team\.svc/,
    );
    t.is(
      await pyspark.conf('s', 'spark.driver.host'),
      'sc-spark-connect-0.sc-spark-connect-headless.team.svc.cluster.local',
    );
  },
);
