import test from 'ava';
import type { KubernetesApi } from '../../src/lib/kubernetes/kubernetes-api.js';
import { driverKinds, type DriverKind } from '../../src/discovery/kubernetes/driver-resources.js';
import { KubernetesError } from '../../src/lib/kubernetes/http.js';
import { sparkApplication, sparkConnect } from '../../src/discovery/kubernetes/spark-objects.js';
import type { DriverRequest, DriverTemplate } from '../../src/discovery/kubernetes/template.js';
import { KubeApiServer } from '../support/kube-api-server.js';
import { operatorCrds } from '../support/kube-manifests.js';
import { TEMPLATE } from './world.js';

let server: KubeApiServer;
let admin: KubernetesApi;

test.before(async () => {
  server = await KubeApiServer.shared();
  for (const crd of operatorCrds()) await server.apply(crd);
  await server.createNamespace('sjns-ads-dev');
  admin = server.admin();
});
test.after.always(() => server?.stop());

const request: DriverRequest = {
  maxMessageBytes: 100_000_000,
  name: 'driver-1',
  namespace: 'sjns-ads-dev',
  ownershipLabels: { 'app.kubernetes.io/managed-by': 'spark-gateway' },
  annotations: { 'spark-gateway.io/signature': 'x' },
  podLabels: { team: 'ads', environment: 'dev' },
};

const main = {
  type: 'Python',
  file: 'local:///opt/gateway/main.py',
  configMap: { name: 'spark-main', path: '/opt/gateway' },
} as const;

/** Everything that an operator can choose. */
const everything: DriverTemplate = {
  ...TEMPLATE,
  imagePullPolicy: 'IfNotPresent',
  imagePullSecrets: ['registry'],
  serviceAccount: 'spark',
  dynamicAllocation: {
    minExecutors: 1,
    maxExecutors: 20,
    initialExecutors: 2,
    shuffleTrackingTimeoutMs: 600_000,
  },
  sparkConf: { 'spark.sql.shuffle.partitions': '64', 'spark.plugins': 'com.example.Plugin' },
  hadoopConf: { 'fs.s3a.path.style.access': 'true' },
  env: { REGION: 'us-west-2', KEY: { secret: 'keys', key: 'key' } },
  volumes: [{ name: 'scratch', emptyDir: { sizeLimit: '10Gi' } }],
  volumeMounts: [{ name: 'scratch', mountPath: '/scratch' }],
  sidecars: [{ name: 'proxy', image: 'example.test/proxy:1' }],
  labels: { 'cost-center': 'ads' },
  annotations: { 'prometheus.io/scrape': 'true' },
  nodeSelector: { pool: 'spark' },
  tolerations: [{ key: 'spark', operator: 'Exists', effect: 'NoSchedule' }],
  affinity: { nodeAffinity: {} },
  priorityClass: 'spark',
  unityCatalog: {
    catalog: 'unity',
    uri: 'https://unity.example.test',
    token: { secret: 'unity', key: 'token' },
  },
  openTelemetry: { image: 'example.test/otelcol:1', configMap: 'otel' },
  fluentBit: { image: 'example.test/fluent-bit:3', configMap: 'fluent-bit' },
  sessionTimeoutMs: 7_200_000,
  main,
};

/** Unknown fields are refused, and nothing is stored. */
function dryRun(kind: DriverKind, body: unknown): Promise<Record<string, unknown>> {
  const { groupVersion, plural } = driverKinds[kind];
  return admin.request({
    method: 'POST',
    path: `/apis/${groupVersion}/namespaces/sjns-ads-dev/${plural}`,
    query: { dryRun: 'All', fieldValidation: 'Strict' },
    body,
  });
}

for (const [what, template] of [
  ['the least that is needed', { ...TEMPLATE, main }],
  ['everything that can be chosen', everything],
] as const) {
  test(`the operator's schema accepts a SparkConnect with ${what}`, async (t) => {
    const manifest = sparkConnect(template, request);
    t.like(await dryRun('SparkConnect', manifest), { spec: manifest['spec'] });
  });

  test(`the operator's schema accepts a SparkApplication with ${what}`, async (t) => {
    const manifest = sparkApplication({ ...template, kind: 'SparkApplication' }, request);
    t.like(await dryRun('SparkApplication', manifest), { spec: manifest['spec'] });
  });

  test(`the pod of a SparkConnect with ${what} is valid and fits the restricted standard`, async (t) => {
    const namespace = `restricted-${what.length}`;
    await server.createNamespace(namespace, {
      'pod-security.kubernetes.io/enforce': 'restricted',
    });
    await server.serviceAccount(namespace, 'spark');
    const { server: pod } = sparkConnect({ ...template, sidecars: [] }, request)['spec'] as {
      server: { template: { metadata: object; spec: object } };
    };
    const { priorityClassName: _, ...spec } = pod.template.spec as Record<string, unknown>;
    await t.notThrowsAsync(
      admin.request({
        method: 'POST',
        path: `/api/v1/namespaces/${namespace}/pods`,
        query: { dryRun: 'All', fieldValidation: 'Strict' },
        body: { metadata: { name: 'p', ...pod.template.metadata }, spec },
      }),
    );
  });
}

test('nothing of a SparkApplication depends on the webhook of the operator', async (t) => {
  const { driver, executor, image, volumes } = sparkApplication(
    { ...everything, kind: 'SparkApplication' },
    request,
  )['spec'] as {
    driver: { labels: object; template: { spec: { containers: object[] } } };
    executor: { template: { spec: { containers: object[] } } };
    image: string;
    volumes?: unknown;
  };
  // Each of these becomes a setting of Spark.
  for (const [role, fields] of [
    [driver, ['annotations', 'cores', 'labels', 'memory', 'serviceAccount', 'template']],
    [executor, ['cores', 'instances', 'labels', 'memory', 'serviceAccount', 'template']],
  ] as const) {
    t.deepEqual(Object.keys(role).toSorted(), [...fields]);
  }
  t.is(volumes, undefined);
  const namespace = 'application-pod';
  await server.createNamespace(namespace, { 'pod-security.kubernetes.io/enforce': 'restricted' });
  await server.serviceAccount(namespace, 'spark');
  const {
    labels,
    template: { spec },
  } = driver;
  const { priorityClassName: _, ...pod } = spec as Record<string, unknown>;
  const [container] = spec.containers;
  t.regex(JSON.stringify(container), /"driver-1-token"/);
  const body = {
    metadata: { name: 'p', labels },
    spec: { ...pod, containers: [{ ...container, image }] },
  };
  await t.notThrowsAsync(
    admin.request({
      method: 'POST',
      path: `/api/v1/namespaces/${namespace}/pods`,
      query: { dryRun: 'All', fieldValidation: 'Strict' },
      body,
    }),
  );
  t.regex(JSON.stringify(executor.template.spec), /"allowPrivilegeEscalation":false/);
});

test('no secret stands in the Spark settings, and the role label is left to the operator', (t) => {
  for (const manifest of [
    sparkConnect(everything, request),
    sparkApplication({ ...everything, kind: 'SparkApplication' }, request),
  ]) {
    const { sparkConf } = manifest['spec'] as { sparkConf: Record<string, string> };
    t.deepEqual(
      Object.keys(sparkConf).filter((name) => /token|secret|password/i.test(name)),
      [],
    );
    t.false(JSON.stringify(manifest).includes('"spark-role"'));
    t.is(sparkConf['spark.connect.grpc.binding.port'], '15002');
    t.is(sparkConf['spark.connect.grpc.maxInboundMessageSize'], '100000000');
    // Clients of other languages receive 4 MiB at most: Spark's own default.
    t.is(sparkConf['spark.connect.grpc.arrow.maxBatchSize'], undefined);
  }
});

test('a driver is replaced, never restarted, and asks not to be evicted', (t) => {
  const connect = JSON.stringify(sparkConnect(everything, request));
  t.true(connect.includes('"restartPolicy":"Never"'));
  t.true(connect.includes('"cluster-autoscaler.kubernetes.io/safe-to-evict":"false"'));
  t.like(sparkApplication({ ...everything, kind: 'SparkApplication' }, request)['spec'], {
    restartPolicy: { type: 'Never' },
  });
});

test('the Spark Connect plugin stands beside the plugins of a template', (t) => {
  const { sparkConf } = sparkApplication(everything, request)['spec'] as {
    sparkConf: Record<string, string>;
  };
  t.is(
    sparkConf['spark.plugins'],
    'org.apache.spark.sql.connect.SparkConnectPlugin,com.example.Plugin',
  );
});

test('a SparkApplication without a program to run is refused before the API server sees it', (t) => {
  t.throws(() => sparkApplication(TEMPLATE, request), { code: 'SETTINGS_INVALID' });
});

test('the schema refuses what the operator does not know', async (t) => {
  const manifest = sparkConnect(TEMPLATE, request) as { spec: object };
  const error = await t.throwsAsync(
    dryRun('SparkConnect', { ...manifest, spec: { ...manifest.spec, restartPolicy: 'Never' } }),
    { instanceOf: KubernetesError },
  );
  t.regex(error?.message ?? '', /unknown field "spec.restartPolicy"/);
});
