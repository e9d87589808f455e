/**
 * The chart of Spark 4.1 in mode k8s: a real driver, started as the chart says and with the rights that
 * it gives, makes its executor's pod on a real API server, in a restricted namespace; that pod is run
 * as Spark has made it, finds its driver by the chart's Service, and a query has its answer.
 */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test from 'ava';
import { helm, one, type Rendered } from '../charts/helm.js';
import {
  type Container,
  listens,
  type PodTemplate,
  Sandbox,
  type SandboxPod,
  SHUFFLE,
  SHUFFLED,
} from '../charts/sandbox.js';
import { KubeApiServer } from '../support/kube-api-server.js';
import { PySpark } from '../support/pyspark.js';
import { until } from './until.js';
import { unusedAddress } from '../support/loopback.js';

const NAMESPACE = 'team';

/** What the entrypoint of Spark's image does for an executor. */
const EXECUTOR = String.raw`
options=()
while IFS= read -r option; do options+=("$option"); done < <(env | sed -n 's/^SPARK_JAVA_OPT_[0-9]*=//p')
exec "$JAVA_HOME/bin/java" "\${options[@]}" -Xmx"$SPARK_EXECUTOR_MEMORY" -cp "$SPARK_CONF_DIR:/opt/spark/jars/*" \
  org.apache.spark.scheduler.cluster.k8s.KubernetesExecutorBackend --driver-url "$SPARK_DRIVER_URL" \
  --executor-id "$SPARK_EXECUTOR_ID" --cores "$SPARK_EXECUTOR_CORES" --app-id "$SPARK_APPLICATION_ID" \
  --hostname "$SPARK_EXECUTOR_POD_IP" --resourceProfileId "$SPARK_RESOURCE_PROFILE_ID" --podName "$SPARK_EXECUTOR_POD_NAME"
`.replaceAll('\\$', '$');

interface Pod extends PodTemplate {
  readonly metadata: PodTemplate['metadata'] & {
    readonly name: string;
    readonly ownerReferences?: readonly { readonly kind: string; readonly name: string }[];
  };
  readonly spec: PodTemplate['spec'] & {
    readonly serviceAccountName?: string;
    readonly automountServiceAccountToken?: boolean;
  };
}

test('a driver makes its executors with the rights that its chart gives, and they find it', async (t) => {
  const server = await KubeApiServer.shared();
  t.teardown(() => server.stop());
  const admin = server.admin();
  const pods = `/api/v1/namespaces/${NAMESPACE}/pods`;
  await server.createNamespace(NAMESPACE, {
    'pod-security.kubernetes.io/enforce': 'restricted',
  });
  const cluster = server.adminConfig().getCurrentCluster();
  const objects = helm.objects('charts/spark-4.1', {
    namespace: NAMESPACE,
    set: {
      'sparkConnect.master': `k8s://${cluster?.server}`,
      'driver.memory': '512m',
      'executor.memory': '512m',
      'executor.instances': 1,
    },
  });
  for (const object of objects) if (object.kind !== 'Pod') await server.apply(object);

  const { template } = one(objects, 'StatefulSet')['spec'] as { template: Pod };
  const name = 'sc-spark-connect-0';
  await admin.request({
    method: 'POST',
    path: pods,
    body: { metadata: { ...template.metadata, name }, spec: template.spec },
  });

  const account = mkdtempSync(join(tmpdir(), 'account-'));
  t.teardown(() => rmSync(account, { recursive: true }));
  const config = await server.serviceAccountConfig(
    NAMESPACE,
    template.spec.serviceAccountName ?? '',
  );
  writeFileSync(join(account, 'token'), config.getCurrentUser()?.token ?? '');
  writeFileSync(join(account, 'ca.crt'), Buffer.from(cluster?.caData ?? '', 'base64'));
  writeFileSync(join(account, 'namespace'), NAMESPACE);
  const driver: SandboxPod = {
    name,
    ip: await unusedAddress(),
    template,
    mounts: { '/var/run/secrets/kubernetes.io/serviceaccount': account },
  };
  const sparkHome = process.env['SPARK_4_1_HOME'] ?? '';
  const drivers = new Sandbox({ objects, namespace: NAMESPACE, pods: [driver], sparkHome });
  t.teardown(() => drivers.stop());
  const running = drivers.start(name);
  await listens(running, driver.ip, 15002);

  const made = async () => {
    const { items } = await admin.request<{ items: Pod[] }>({
      path: pods,
      query: { labelSelector: 'spark-role=executor' },
    });
    return items;
  };
  await until(async () => (await made()).length === 1, {
    what: 'the pod of the executor',
    patienceMs: 120_000,
    log: () => running.log(),
  });
  const [executor] = await made();
  if (!executor) throw new Error('There is no executor.');
  t.like(executor.metadata.ownerReferences, [{ kind: 'Pod', name }], 'it ends with its driver');
  t.is(executor.spec.serviceAccountName, 'sc-spark-connect-executor');
  t.is(executor.spec.automountServiceAccountToken, false);
  const policy = one(objects, 'NetworkPolicy', 'sc-spark-connect')['spec'] as {
    ingress: {
      from: { podSelector?: { matchLabels: Record<string, string> } }[];
      ports: { port: number }[];
    }[];
  };
  const rule = policy.ingress.find(({ ports }) => ports.some(({ port }) => port === 7078));
  t.like(
    executor.metadata.labels,
    rule?.from[0]?.podSelector?.matchLabels ?? {},
    'the network policy lets it reach its driver',
  );

  const { items: maps } = await admin.request<{ items: Rendered[] }>({
    path: `/api/v1/namespaces/${NAMESPACE}/configmaps`,
  });
  const [container] = executor.spec.containers;
  const executors = new Sandbox({
    objects: [...objects, ...maps.map((map) => ({ ...map, kind: 'ConfigMap' }))],
    namespace: NAMESPACE,
    pods: [
      driver,
      {
        name: executor.metadata.name,
        ip: await unusedAddress(),
        template: {
          ...executor,
          spec: {
            ...executor.spec,
            containers: [{ ...(container as Container), command: ['bash', '-c', EXECUTOR] }],
          },
        },
      },
    ],
    sparkHome,
  });
  t.teardown(() => executors.stop());
  executors.start(executor.metadata.name);

  const pyspark = await PySpark.start('4');
  t.teardown(() => pyspark.kill());
  await pyspark.connect('s', `sc://${driver.ip}:15002/;user_id=u`);
  t.deepEqual((await pyspark.sql('s', SHUFFLE)).rows, SHUFFLED);

  running.process.release();
  await running.process.ended;
  t.deepEqual(await made(), [], 'a driver that ends removes its executors');
  const left = await admin.request<{ items: Rendered[] }>({
    path: `/api/v1/namespaces/${NAMESPACE}/configmaps`,
  });
  t.deepEqual(
    left.items.map(({ metadata }) => metadata.name).filter((map) => map.startsWith('spark-exec')),
    [],
  );
  t.notRegex(running.log(), /is forbidden|Forbidden/, 'no right is missing');
});
