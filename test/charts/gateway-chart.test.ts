/** What the chart spark-gateway renders, by every Helm there is; its settings are read by the program. */
import { spawnSync } from 'node:child_process';
import { readdirSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { assert, property, stringMatching } from 'fast-check';
import test from 'ava';
import { parse } from 'yaml';
import { compilePolicy } from '../../src/policy/compile.js';
import { compileTemplates } from '../../src/discovery/kubernetes/template-file.js';
import { compileSettings } from '../../src/settings/compile-settings.js';
import { policyOptions } from '../../src/settings/policy-options.js';
import { helm, helms, one, type Rendered, type RenderOptions } from './helm.js';
import { tries } from '../support/tries.js';

const chart = 'charts/spark-gateway';
const environments = readdirSync(join(chart, 'environments')).map((name) =>
  join(chart, 'environments', name),
);

/** Everything that has a switch. */
const everything = {
  'namespace.create': true,
  teamNamespaces: ['sjns-a-dev', 'sjns-b-dev'],
  'certificates.certManager': {
    enabled: true,
    dnsNames: ['gateway.example.com'],
    issuerRef: { name: 'public' },
  },
  'envoy.autoscaling.enabled': true,
  'envoy.resources.limits.cpu': '1500m',
  'gatewayAPI.enabled': true,
  'gatewayAPI.route': 'GRPCRoute',
  'gatewayAPI.parentRefs': [{ name: 'edge', namespace: 'edge' }],
  'gatewayAPI.hostnames': ['gateway.example.com'],
  'gatewayAPI.backendTLSPolicy.hostname': 'gateway.example.com',
  'ingress.enabled': true,
  'ingress.host': 'gateway.example.com',
  'ingress.serverSnippet': true,
  'monitoring.podMonitors.enabled': true,
  'monitoring.prometheusRule.enabled': true,
  'monitoring.dashboard.enabled': true,
  imagePullSecrets: [{ name: 'registry' }],
  extraObjects: [
    { apiVersion: 'v1', kind: 'ConfigMap', metadata: { name: '{{ .Release.Name }}-x' } },
  ],
};

const gateway: RenderOptions = { release: 'spark-gateway', namespace: 'spark-gateway' };
const render = (set: Record<string, unknown> = {}, more: RenderOptions = {}): Rendered[] =>
  helm.objects(chart, { ...gateway, ...more, set });

const portOf = (address: object) => ('port' in address ? address.port : undefined);

const refusal = (set: Record<string, unknown>) => helm.refusal(chart, { ...gateway, set });

const concurrency = (set: Record<string, unknown>) =>
  deployment(render(set), 'spark-gateway-envoy')
    .template.spec.containers[0]?.args?.find((each) => each.startsWith('--concurrency='))
    ?.split('=')[1];

const crds = (set: Record<string, unknown>) =>
  render(set).filter(({ kind }) => kind === 'CustomResourceDefinition');

/** The three files of the ConfigMap, as the program reads them. */
function files(objects: readonly Rendered[], name = 'spark-gateway') {
  const { data } = one(objects, 'ConfigMap', name) as unknown as { data: Record<string, string> };
  const settings = compileSettings({
    file: { name: 'settings.yaml', text: data['settings.yaml'] ?? '' },
    env: { POD_NAMESPACE: 'spark-gateway' },
    overrides: [],
    cwd: '/',
  });
  return {
    settings,
    policy:
      data['policy.yaml'] === undefined
        ? undefined
        : compilePolicy(data['policy.yaml'], 'policy.yaml', policyOptions(settings)),
    templates: compileTemplates(data['templates.yaml'] ?? '', 'templates.yaml', 1_800_000),
  };
}

interface Container {
  readonly name: string;
  readonly args?: readonly string[];
  readonly env?: readonly { readonly name: string }[];
  readonly ports?: readonly { readonly name: string; readonly containerPort: number }[];
  readonly startupProbe?: Probe;
  readonly livenessProbe?: Probe;
  readonly securityContext?: object;
  readonly volumeMounts?: readonly {
    readonly name: string;
    readonly mountPath: string;
    readonly readOnly?: boolean;
  }[];
}

interface Probe {
  readonly httpGet?: { readonly port: string; readonly path: string };
  readonly failureThreshold?: number;
  readonly periodSeconds?: number;
}

interface Pod {
  readonly enableServiceLinks?: boolean;
  readonly containers: readonly Container[];
  readonly initContainers?: readonly Container[];
  readonly volumes?: readonly {
    readonly name: string;
    readonly secret?: {
      readonly secretName: string;
      readonly items?: readonly { readonly key: string; readonly path: string }[];
    };
  }[];
}

function deployment(objects: readonly Rendered[], name: string) {
  return one(objects, 'Deployment', name)['spec'] as {
    readonly replicas?: number;
    readonly selector: { readonly matchLabels: Record<string, string> };
    readonly template: {
      readonly metadata: { labels: Record<string, string> };
      readonly spec: Pod;
    };
  };
}

for (const each of helms) {
  for (const [what, options] of [
    ['as it is', {}],
    ['with everything on', { set: everything }],
    ...environments.map((file) => [`with ${file}`, { values: [file] }] as const),
  ] as const) {
    test(`${each.name}: the chart ${what} renders twice to the same bytes and has no fault`, (t) => {
      t.notThrows(() => each.lint(chart, options));
      t.is(
        each.text(chart, { ...gateway, ...options }),
        each.text(chart, { ...gateway, ...options }),
      );
    });
  }
}

for (const [what, options] of [
  ['as it is', {}],
  ['with everything on', { set: everything }],
  ...environments.map((file) => [`with ${file}`, { values: [file] }] as const),
] as const) {
  test(`the program takes the settings, the policy and the templates of the chart ${what}`, (t) => {
    const { settings, policy, templates } = files(helm.objects(chart, { ...gateway, ...options }));
    t.is(settings.drivers.source, 'kubernetes');
    t.truthy(policy);
    t.is(templates.template('sjns-example-prod')?.kind, 'SparkConnect');
  });
}

test('k8s/ and the tables of values are what the charts say', (t) => {
  const { status, stdout, stderr } = spawnSync('node', ['scripts/charts.js', '--check'], {
    encoding: 'utf8',
    env: { ...process.env, HELM_BIN: process.env['HELM_PROGRAMS']?.split(':').at(-1) },
  });
  t.is(status, 0, `${stdout}${stderr}`);
});

test('containers, Services, NetworkPolicies and settings agree on the ports', (t) => {
  const objects = render();
  const { settings } = files(objects);
  const ports = (name: string, container: string) =>
    Object.fromEntries(
      deployment(objects, name)
        .template.spec.containers.find((each) => each.name === container)
        ?.ports?.map((port) => [port.name, port.containerPort]) ?? [],
    );
  t.deepEqual(ports('spark-gateway-control-plane', 'control-plane'), {
    xds: portOf(settings.xds.listenAddr),
    assignments: portOf(settings.assignments.listenAddr),
    admin: portOf(settings.admin.listenAddr),
    health: 9092,
  });
  t.deepEqual(ports('spark-gateway-envoy', 'envoy'), {
    grpc: portOf(settings.listenAddr),
    health: 9902,
  });
  t.deepEqual(ports('spark-gateway-envoy', 'authz'), {
    'authz-metrics': portOf(settings.authz.metricsAddr),
  });
  const service = (name: string) =>
    (one(objects, 'Service', name)['spec'] as { ports: { port: number }[] }).ports.map(
      (each) => each.port,
    );
  t.deepEqual(service('spark-gateway'), [15002]);
  t.deepEqual(service('spark-gateway-control-plane'), [18000, 18001, 9090]);
});

test('in another namespace, under another name, all parts still find each other', (t) => {
  const objects = render({}, { release: 'blue', namespace: 'edge' });
  const { settings } = files(objects, 'blue-spark-gateway');
  const controlPlane = one(objects, 'Service', 'blue-spark-gateway-control-plane');
  t.like(settings.xds.connectAddr, { host: controlPlane.metadata.name, port: 18000 });
  t.is(settings.mtls.serverName, 'blue-spark-gateway-control-plane');
  t.deepEqual(settings.xds.allowedSans, ['blue-spark-gateway-envoy']);
  const role = one(objects, 'Role', 'blue-spark-gateway-control-plane') as unknown as {
    rules: { resources: string[]; resourceNames?: string[] }[];
  };
  t.deepEqual(
    role.rules.flatMap(({ resourceNames = [] }) => resourceNames),
    [settings.drivers.kubernetes.gatewayName, `${settings.drivers.kubernetes.gatewayName}-key`],
  );
  t.is(one(objects, 'ClusterRole').metadata.name, 'edge-blue-spark-gateway-drivers');
});

test('rights are given in the namespaces of teams, and in all only where that is wanted', (t) => {
  const teams = ['sjns-a-dev', 'sjns-b-dev'];
  const narrow = render({ teamNamespaces: teams });
  t.deepEqual(files(narrow).settings.drivers.kubernetes.namespaces, teams);
  t.false(narrow.some(({ kind }) => kind === 'ClusterRoleBinding'));
  for (const namespace of teams) {
    const of = narrow.filter(({ metadata }) => metadata.namespace === namespace);
    t.deepEqual(of.map(({ kind }) => kind).toSorted(), ['NetworkPolicy', 'RoleBinding', 'Service']);
    t.like(of.find(({ kind }) => kind === 'Service')?.['spec'], { clusterIP: 'None' });
  }
  const wide = render({ 'rbac.clusterWide': true });
  t.deepEqual(files(wide).settings.drivers.kubernetes.namespaces, []);
  t.true(wide.some(({ kind }) => kind === 'ClusterRoleBinding'));
});

interface FlowSchema {
  readonly priorityLevelConfiguration: { readonly name: string };
  readonly matchingPrecedence: number;
  readonly rules: readonly {
    readonly subjects: readonly { readonly serviceAccount: object }[];
    readonly resourceRules: readonly object[];
  }[];
}

test('the API server keeps room for the control plane and its lease, unless that is not wanted', (t) => {
  const objects = render({ 'apiPriority.shares': 25 }, { release: 'one', namespace: 'two' });
  const level = one(objects, 'PriorityLevelConfiguration', 'two-one-spark-gateway')['spec'];
  t.like(level, { type: 'Limited', limited: { nominalConcurrencyShares: 25 } });
  const all = one(objects, 'FlowSchema', 'two-one-spark-gateway')['spec'] as FlowSchema;
  const lease = one(objects, 'FlowSchema', 'two-one-spark-gateway-leader-election')[
    'spec'
  ] as FlowSchema;
  t.is(all.priorityLevelConfiguration.name, 'two-one-spark-gateway');
  t.true(lease.matchingPrecedence < all.matchingPrecedence, 'the narrower one comes first');
  t.like(lease.rules[0]?.resourceRules[0], { resources: ['leases'], namespaces: ['two'] });
  const { metadata } = objects.find(
    ({ kind, metadata: { name } }) => kind === 'ServiceAccount' && name.endsWith('-control-plane'),
  ) ?? { metadata: { name: '' } };
  for (const { rules } of [all, lease]) {
    const account = { name: metadata.name, namespace: 'two' };
    t.deepEqual(rules[0]?.subjects, [{ kind: 'ServiceAccount', serviceAccount: account }]);
  }
  const without = render({ 'apiPriority.enabled': false });
  t.false(without.some(({ apiVersion }) => apiVersion.startsWith('flowcontrol.')));
});

test('what the chart sets cannot be set twice, and what is misspelt is refused', (t) => {
  t.regex(
    refusal({ 'settings.listen_addr': '0.0.0.0:1' }),
    /settings.listen_addr is set by the chart/,
  );
  t.regex(
    refusal({ 'settings.xds.connect_addr': 'x:1' }),
    /settings.xds.connect_addr is set by the chart/,
  );
  t.is(
    files(render({ 'settings.xds': { connection_limit: undefined }, 'settings.session_ttl': '1h' }))
      .settings.sessionTtlMs,
    3_600_000,
  );
  for (const path of ['envoy.replica', 'servce.type', 'image.tags']) {
    t.regex(refusal({ [path]: 'x' }), /[Aa]dditional propert/, path);
  }
  t.regex(
    refusal({ 'controlPlane.extraEnv': [{ name: 'POD_IP', value: 'x' }] }),
    /extraEnv sets POD_IP, which is set already/,
  );
});

test("Envoy's memory limit lies above the heap at which it refuses requests", (t) => {
  t.regex(
    helm.refusal(chart, { set: { 'envoy.maxHeap': '2GiB' } }),
    /limits.memory=2Gi must be 1.2 times envoy.maxHeap=2GiB/,
  );
  t.is(files(render()).settings.envoy.maxHeapBytes, 1536 * 1024 * 1024);
});

test('Envoy has as many workers as its CPU limit has cores', (t) => {
  t.is(concurrency({}), undefined);
  t.is(concurrency({ 'envoy.resources.limits.cpu': '1500m' }), '2');
  t.is(concurrency({ 'envoy.resources.limits.cpu': 4 }), '4');
  t.is(concurrency({ 'envoy.resources.limits.cpu': '100m' }), '1');
  t.is(concurrency({ 'envoy.resources.limits.cpu': '4', 'envoy.concurrency': 3 }), '3');
});

test('an autoscaler owns the number of Envoys', (t) => {
  t.is(deployment(render(), 'spark-gateway-envoy').replicas, 3);
  const scaled = render({ 'envoy.autoscaling.enabled': true });
  t.is(deployment(scaled, 'spark-gateway-envoy').replicas, undefined);
  t.like(one(scaled, 'HorizontalPodAutoscaler')['spec'], {
    scaleTargetRef: { kind: 'Deployment', name: 'spark-gateway-envoy' },
  });
});

test('disruption budgets let pods go that never became healthy', (t) => {
  const budgets = render().filter(({ kind }) => kind === 'PodDisruptionBudget');
  t.is(budgets.length, 2);
  for (const { spec } of budgets as { spec?: unknown }[]) {
    t.like(spec, { maxUnavailable: 1, unhealthyPodEvictionPolicy: 'AlwaysAllow' });
  }
});

test('every container fits "restricted", has no service links and sets no variable twice', (t) => {
  const objects = render({ ...everything, 'runner.enabled': true, 'playground.enabled': true });
  const pods = objects.flatMap((object) => {
    const spec = object['spec'] as { template?: { spec: Pod } } & Pod;
    if (object.kind === 'Pod') return [spec];
    return spec?.template ? [spec.template.spec] : [];
  });
  t.is(pods.length, 5);
  for (const pod of pods) {
    t.is(pod.enableServiceLinks, false);
    for (const container of [...pod.containers, ...(pod.initContainers ?? [])]) {
      t.like(container.securityContext, {
        allowPrivilegeEscalation: false,
        readOnlyRootFilesystem: true,
        capabilities: { drop: ['ALL'] },
      });
      const names = (container.env ?? []).map(({ name }) => name);
      t.is(new Set(names).size, names.length, container.name);
    }
  }
});

test('nothing kills an Envoy that waits for its control plane', (t) => {
  const [envoy] = deployment(render(), 'spark-gateway-envoy').template.spec.containers;
  const { startupProbe, livenessProbe } = envoy ?? {};
  // Liveness is looked at only after the startup probe has succeeded once.
  t.deepEqual(startupProbe?.httpGet, livenessProbe?.httpGet);
  const seconds = (startupProbe?.failureThreshold ?? 0) * (startupProbe?.periodSeconds ?? 0);
  t.true(seconds > 10 * 365 * 86_400);
});

test('CustomResourceDefinitions come with the release, stay after it, and can be left out', (t) => {
  t.is(crds({}).length, 3);
  for (const { metadata } of crds({})) {
    t.is(metadata.annotations?.['helm.sh/resource-policy'], 'keep');
  }
  t.is(crds({ 'crds.install': false }).length, 0);
});

test('there is a way in by a Gateway that passes TLS through, or that reads requests and cuts none', (t) => {
  const set = {
    'gatewayAPI.enabled': true,
    'gatewayAPI.parentRefs': [{ name: 'edge' }],
    'gatewayAPI.hostnames': ['gateway.example.com'],
  };
  const through = render(set);
  t.like(one(through, 'TLSRoute')['spec'], {
    hostnames: ['gateway.example.com'],
    rules: [{ backendRefs: [{ name: 'spark-gateway', port: 15002 }] }],
  });
  t.false(through.some(({ kind }) => kind === 'BackendTrafficPolicy'));
  const read = render({
    ...set,
    'gatewayAPI.route': 'GRPCRoute',
    'gatewayAPI.backendTLSPolicy.hostname': 'gateway.example.com',
  });
  t.like(one(read, 'BackendTrafficPolicy')['spec'], {
    targetRefs: [{ kind: 'GRPCRoute', name: one(read, 'GRPCRoute').metadata.name }],
    timeout: { http: { requestTimeout: '0s' } },
  });
  t.like(one(read, 'BackendTLSPolicy')['spec'], {
    targetRefs: [{ kind: 'Service', name: 'spark-gateway' }],
  });
  t.regex(
    helm.refusal(chart, { set: { ...set, 'gatewayAPI.parentRefs': [] } }),
    /gatewayAPI.parentRefs must name a Gateway/,
  );
});

test('the Ingress speaks TLS to Envoy and waits for long streams', (t) => {
  t.false(render().some(({ kind }) => kind === 'Ingress'));
  const { metadata } = one(
    render({
      'ingress.enabled': true,
      'ingress.host': 'h.example.com',
      'ingress.serverSnippet': true,
    }),
    'Ingress',
  );
  t.like(metadata.annotations, {
    'nginx.ingress.kubernetes.io/backend-protocol': 'GRPCS',
    'nginx.ingress.kubernetes.io/proxy-read-timeout': '3600',
    'nginx.ingress.kubernetes.io/server-snippet':
      'grpc_read_timeout 3600s; grpc_send_timeout 3600s; client_body_timeout 3600s;',
  });
});

test('the certificates of cert-manager are in the Secrets that are mounted, under the names that settings ask for', (t) => {
  const objects = render(everything);
  const certificates = objects.filter(({ kind }) => kind === 'Certificate');
  const specs = certificates.map(
    (object) => object['spec'] as { secretName: string; dnsNames?: string[] },
  );
  const { settings } = files(objects);
  const named = (name: string | undefined) =>
    specs.find(({ dnsNames = [] }) => dnsNames.includes(name ?? ''))?.secretName;
  const mounted = (name: string) =>
    JSON.stringify(deployment(objects, name).template.spec).match(/"secretName":"([^"]+)"/g);
  t.deepEqual(mounted('spark-gateway-envoy'), [
    `"secretName":"${named(settings.xds.allowedSans[0])}"`,
  ]);
  t.deepEqual(mounted('spark-gateway-control-plane'), [
    `"secretName":"${named(settings.mtls.serverName)}"`,
    `"secretName":"${named('gateway.example.com')}"`,
  ]);
  t.false(objects.some(({ kind }) => kind === 'Secret'));
});

test('Runner and Playground run with the settings that are rendered, each with a certificate of its own', (t) => {
  const on = { 'runner.enabled': true, 'playground.enabled': true };
  const objects = render({ ...everything, ...on });
  const { settings } = files(objects);
  t.deepEqual(settings.batch.allowedSans, ['spark-gateway-runner']);
  t.like(settings.playground, {
    runnerAddr: { host: 'spark-gateway-runner', port: 50051 },
    certFile: '/etc/spark-gateway-tls/tls.crt',
  });
  for (const [part, metrics] of [
    ['runner', settings.runner.metricsAddr.port],
    ['playground', settings.playground.metricsAddr.port],
  ] as const) {
    const { spec } = deployment(objects, `spark-gateway-${part}`).template;
    const text = JSON.stringify(spec);
    t.regex(text, new RegExp(`"secretName":"spark-gateway-${part}-mtls"`));
    t.notRegex(text, /control-plane-mtls/, 'it may not do what a control plane may');
    t.regex(text, new RegExp(`"name":"health","containerPort":${metrics}`));
    t.regex(text, /"readinessProbe":\{"httpGet":\{"path":"\/readyz","port":"health"\}/);
    const certificate = one(objects, 'Certificate', `spark-gateway-${part}-mtls`);
    t.like(certificate['spec'], { dnsNames: [`spark-gateway-${part}`] });
  }
});

test('replicas of the Playground share the key of their cookies, from a Secret that is named', (t) => {
  const single = { 'playground.enabled': true };
  const several = { ...single, 'playground.replicas': 2 };
  t.regex(
    refusal(several),
    /playground\.replicas=2 needs playground\.cookieKey\.existingSecret, a Secret with 32 random bytes/,
  );
  t.is(files(render(single)).settings.playground.cookieKeyFile, undefined);
  t.notThrows(() => render({ 'playground.replicas': 2 }), 'there is none');
  for (const [secretKey, more] of [
    ['cookie-key', {}],
    ['sealing', { 'playground.cookieKey.secretKey': 'sealing' }],
  ] as const) {
    const set = { ...several, 'playground.cookieKey.existingSecret': 'pg-cookies', ...more };
    const objects = render({ ...set, 'runner.enabled': true });
    const at = files(objects).settings.playground.cookieKeyFile ?? '';
    const { spec } = deployment(objects, 'spark-gateway-playground').template;
    const volume = spec.volumes?.find(({ secret }) => secret?.secretName === 'pg-cookies');
    t.deepEqual(volume?.secret?.items, [{ key: secretKey, path: basename(at) }]);
    const mount = spec.containers[0]?.volumeMounts?.find(({ name }) => name === volume?.name);
    t.like(mount, { mountPath: dirname(at), readOnly: true });
    for (const other of ['spark-gateway-runner', 'spark-gateway-control-plane']) {
      t.notRegex(JSON.stringify(deployment(objects, other)), /pg-cookies/);
    }
  }
  t.regex(
    refusal({
      ...single,
      'settings.playground.cookie_key_file': '/x',
      'playground.cookieKey.existingSecret': 'pg-cookies',
    }),
    /settings\.playground\.cookie_key_file is set by the chart/,
  );
});

test('Runner and Playground are off unless they are wanted, and so are their settings', (t) => {
  const off = render();
  t.is(off.filter(({ kind }) => kind === 'Deployment').length, 2);
  const { data } = one(off, 'ConfigMap') as unknown as { data: Record<string, string> };
  const settings = parse(data['settings.yaml'] ?? '') as object;
  t.false('runner' in settings || 'playground' in settings);
  const on = render({ 'runner.enabled': true, 'playground.enabled': true });
  for (const [name, port] of [
    ['runner', 50051],
    ['playground', 8080],
  ] as const) {
    t.like(one(on, 'Service', `spark-gateway-${name}`)['spec'], { ports: [{ port }] });
  }
});

test('alerts and dashboard of the release are those of k8s/monitoring', (t) => {
  const objects = render({
    'monitoring.prometheusRule.enabled': true,
    'monitoring.dashboard.enabled': true,
  });
  t.like(one(objects, 'PrometheusRule')['spec'], { groups: [{ name: 'spark-gateway' }] });
  const { data } = one(objects, 'ConfigMap', 'spark-gateway-dashboard') as unknown as {
    data: Record<string, string>;
  };
  t.notThrows(() => JSON.parse(data['spark-gateway.json'] ?? '') as unknown);
});

test('names and labels are good for every release name that Helm takes', (t) => {
  const name = stringMatching(/^[a-z0-9]([-a-z0-9]{0,51}[a-z0-9])?$/);
  assert(
    property(name, (release) => {
      for (const { kind, metadata } of render({}, { release, namespace: 'ns' })) {
        if (kind === 'CustomResourceDefinition') continue;
        t.true(metadata.name.length <= 63, `${kind} ${metadata.name}`);
        t.regex(metadata.name, /^[a-z]([-a-z0-9]*[a-z0-9])?$/);
        for (const value of Object.values(metadata.labels ?? {})) {
          t.regex(value, /^([A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?)?$/);
        }
      }
    }),
    { numRuns: tries(15) },
  );
});
