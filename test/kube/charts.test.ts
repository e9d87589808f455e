/** The charts against a real API server: every object as it would be applied, and Helm itself. */
import { execFileSync } from 'node:child_process';
import { mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test from 'ava';
import { parse } from 'yaml';
import { KubernetesError } from '../../src/lib/kubernetes/http.js';
import { helm, helms, type Rendered } from '../charts/helm.js';
import { KubeApiServer } from '../support/kube-api-server.js';
import { manifests, operatorCrds } from '../support/kube-manifests.js';

const RESTRICTED = {
  'pod-security.kubernetes.io/enforce': 'restricted',
  'pod-security.kubernetes.io/enforce-version': 'latest',
};

/** Kinds whose definitions belong to other projects and are not on this API server. */
const FOREIGN = new Set([
  'BackendTLSPolicy',
  'BackendTrafficPolicy',
  'Certificate',
  'GRPCRoute',
  'Issuer',
  'PodMonitor',
  'PrometheusRule',
  'ServiceMonitor',
  'TLSRoute',
]);

let server: KubeApiServer;
let folder: string;
let kubeconfig: string;

test.before(async () => {
  server = await KubeApiServer.shared();
  folder = mkdtempSync(join(tmpdir(), 'charts-'));
  kubeconfig = join(folder, 'kubeconfig');
  writeFileSync(kubeconfig, server.adminConfig().exportConfig(), { mode: 0o600 });
  for (const crd of operatorCrds()) await server.apply(crd);
  for (const name of ['team', 'spark-gateway', 'sjns-a-dev', 'sjns-example-dev']) {
    await server.createNamespace(name, RESTRICTED);
  }
});
test.after.always(async () => {
  await server?.stop();
  if (folder) rmSync(folder, { recursive: true });
});

const spark = {
  'metrics.serviceMonitor.enabled': true,
  'podDisruptionBudget.enabled': true,
  openTelemetry: { enabled: true, configMap: 'otel' },
  fluentBit: { enabled: true, configMap: 'fluent' },
  unityCatalog: { enabled: true, uri: 'https://uc', existingSecret: 'uc' },
  driverFence: { enabled: true, configMap: 'fence' },
  extraEnv: [{ name: 'ONE', value: '1' }],
  'executor.extraEnv': [{ name: 'ONE', value: '1' }],
};
const below = (set: Record<string, unknown>) =>
  Object.fromEntries(Object.entries(set).map(([name, value]) => [`spark-connect.${name}`, value]));

const gateway = {
  teamNamespaces: ['sjns-a-dev'],
  'envoy.autoscaling.enabled': true,
  'runner.enabled': true,
  'playground.enabled': true,
  'ingress.enabled': true,
  'ingress.host': 'gateway.example.com',
  'monitoring.dashboard.enabled': true,
};

const cases: readonly (readonly [what: string, chart: string, set: Record<string, unknown>])[] = [
  ['spark-4.1', 'charts/spark-4.1', {}],
  [
    'spark-4.1 with everything on',
    'charts/spark-4.1',
    { ...spark, driverToken: { existingSecret: 't' } },
  ],
  ['spark-4.1 in mode local', 'charts/spark-4.1', { 'sparkConnect.backendMode': 'local' }],
  ['spark-3.5', 'charts/spark-3.5', below(spark)],
  [
    'spark-3.5 in mode standalone',
    'charts/spark-3.5',
    below({ ...spark, 'sparkConnect.backendMode': 'standalone' }),
  ],
  [
    'spark-4.1 for a user of the cluster’s choice',
    'charts/spark-4.1',
    { 'podSecurityContext.runAsUser': null, 'podSecurityContext.runAsGroup': null },
  ],
  ['spark-gateway', 'charts/spark-gateway', {}],
  ['spark-gateway with everything on', 'charts/spark-gateway', gateway],
  ...readdirSync('charts/spark-gateway/environments').map(
    (name) => [`spark-gateway in ${name}`, name, {}] as const,
  ),
];

function rendered(chart: string, set: Record<string, unknown>): Rendered[] {
  const environment = chart.endsWith('.yaml');
  const isGateway = environment || chart.endsWith('gateway');
  return helm.objects(environment ? 'charts/spark-gateway' : chart, {
    release: isGateway ? 'spark-gateway' : 'sc',
    namespace: isGateway ? 'spark-gateway' : 'team',
    set: { ...set, ...(environment ? { teamNamespaces: ['sjns-a-dev'] } : {}) },
    values: environment ? [join('charts/spark-gateway/environments', chart)] : [],
  });
}

async function dryRun(object: Rendered): Promise<void> {
  await server.admin().request({
    method: 'PATCH',
    path: `${await server.collectionPath(object)}/${object.metadata.name}`,
    contentType: 'application/apply-patch+yaml',
    query: { dryRun: 'All', fieldValidation: 'Strict', fieldManager: 'test', force: true },
    body: object,
  });
}

/** The pods that controllers, and Spark, would make of it. */
function podsOf(object: Rendered): { metadata: object; spec: Record<string, unknown> }[] {
  if (object.kind === 'ConfigMap') {
    const { data = {} } = object as { data?: Record<string, string> };
    const text = data['executor-pod-template.yaml'];
    if (text === undefined) return [];
    const pod = parse(text) as {
      metadata: object;
      spec: { containers: Record<string, unknown>[]; [field: string]: unknown };
    };
    const [container, ...others] = pod.spec.containers;
    return [
      { ...pod, spec: { ...pod.spec, containers: [{ ...container, image: 'spark' }, ...others] } },
    ];
  }
  const { template } = (object['spec'] ?? {}) as {
    template?: { metadata: object; spec: Record<string, unknown> };
  };
  return template ? [template] : [];
}

for (const [what, chart, set] of cases) {
  test.serial(
    `the API server accepts every object of ${what}, and each pod in a restricted namespace`,
    async (t) => {
      const objects = rendered(chart, set);
      for (const object of objects.filter(({ kind }) => kind === 'ServiceAccount')) {
        await server.apply(object);
      }
      let pods = 0;
      for (const object of objects) {
        if (FOREIGN.has(object.kind)) continue;
        await t.notThrowsAsync(dryRun(object), `${object.kind} ${object.metadata.name}`);
        for (const pod of podsOf(object)) {
          pods += 1;
          await t.notThrowsAsync(
            server.admin().request({
              method: 'POST',
              path: `/api/v1/namespaces/${object.metadata.namespace}/pods`,
              query: { dryRun: 'All', fieldValidation: 'Strict' },
              body: { metadata: { ...pod.metadata, name: `p${pods}` }, spec: pod.spec },
            }),
            `a pod of ${object.kind} ${object.metadata.name}`,
          );
        }
      }
      t.true(pods > 0);
    },
  );
}

test.serial(
  'the API server refuses what a chart must not do: a variable twice, a field that is none',
  async (t) => {
    const [deployment] = rendered('charts/spark-gateway', {}).filter(
      ({ kind }) => kind === 'Deployment',
    );
    const changed = (change: (container: Record<string, unknown>) => void) => {
      const copy = structuredClone(deployment) as unknown as {
        spec: { template: { spec: { containers: Record<string, unknown>[] } } };
      };
      change(copy.spec.template.spec.containers[0] as Record<string, unknown>);
      return copy as unknown as Rendered;
    };
    for (const bad of [
      changed(
        (container) =>
          (container['env'] = [
            { name: 'A', value: '1' },
            { name: 'A', value: '2' },
          ]),
      ),
      changed((container) => (container['imagePullPolice'] = 'Never')),
    ]) {
      await t.throwsAsync(dryRun(bad), { instanceOf: KubernetesError });
    }
  },
);

for (const { name, bin } of helms) {
  const run = (...args: string[]) =>
    execFileSync(bin, args, {
      encoding: 'utf8',
      env: { ...process.env, KUBECONFIG: kubeconfig, HOME: folder },
      stdio: ['ignore', 'pipe', 'pipe'],
    });

  test.serial(`${name} installs, upgrades and removes the charts of Spark`, async (t) => {
    for (const chart of ['spark-4.1', 'spark-3.5']) {
      const release = `${name}-${chart.replace('.', '')}`;
      run('install', release, `charts/${chart}`, '--namespace', 'team');
      run(
        'upgrade',
        release,
        `charts/${chart}`,
        '--namespace',
        'team',
        '--set-json',
        chart === 'spark-4.1' ? 'replicas=2' : 'spark-connect.replicas=2',
      );
      const path = `/apis/apps/v1/namespaces/team/statefulsets/${release}-spark-connect`;
      const { spec } = await server.admin().request<{ spec: { replicas: number } }>({ path });
      t.is(spec.replicas, 2);
      run('uninstall', release, '--namespace', 'team');
      await t.throwsAsync(server.admin().request({ path }), { instanceOf: KubernetesError });
    }
  });

  test.serial(
    `${name} takes over what the plain manifests have made, and keeps records when it goes`,
    async (t) => {
      const plain = readdirSync('k8s')
        .filter((file) => file.endsWith('.yaml'))
        .flatMap((file) => manifests(join('k8s', file)));
      const crds = readdirSync('k8s/crd').flatMap((file) => manifests(join('k8s/crd', file)));
      for (const object of [...crds, ...plain]) await server.apply(object);
      const path = '/apis/apps/v1/namespaces/spark-gateway/deployments/spark-gateway-envoy';
      interface Deployment {
        readonly metadata: { readonly uid: string; readonly labels: Record<string, string> };
      }
      const before = await server.admin().request<Deployment>({ path });
      run(
        'install',
        'spark-gateway',
        'charts/spark-gateway',
        '--namespace',
        'spark-gateway',
        '--take-ownership',
        '--set-json',
        'rbac.clusterWide=true',
        ...(name === 'helm3' ? [] : ['--force-conflicts']),
      );
      const after = await server.admin().request<Deployment>({ path });
      t.is(after.metadata.uid, before.metadata.uid, 'no pod is replaced for it');
      t.is(after.metadata.labels['app.kubernetes.io/managed-by'], 'Helm');
      run('uninstall', 'spark-gateway', '--namespace', 'spark-gateway');
      await t.throwsAsync(server.admin().request({ path }), { instanceOf: KubernetesError });
      await t.notThrowsAsync(
        server.admin().request({
          path: '/apis/apiextensions.k8s.io/v1/customresourcedefinitions/sparkdrivers.spark-gateway.io',
        }),
      );
    },
  );
}
