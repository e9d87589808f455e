/** What the Spark charts render, by every Helm there is. */
import { assert, property, stringMatching } from 'fast-check';
import test from 'ava';
import { helm, helms, one, type Rendered } from './helm.js';
import type { Container, PodTemplate } from './sandbox.js';
import { tries } from '../support/tries.js';

interface Variant {
  readonly chart: string;
  readonly mode: 'k8s' | 'standalone' | 'local';
  readonly set: Readonly<Record<string, unknown>>;
  /** Where the server's values are. */
  readonly at: string;
}

const variants: readonly Variant[] = [
  { chart: 'charts/spark-4.1', mode: 'k8s', set: {}, at: '' },
  {
    chart: 'charts/spark-4.1',
    mode: 'local',
    set: { 'sparkConnect.backendMode': 'local' },
    at: '',
  },
  {
    chart: 'charts/spark-4.1',
    mode: 'standalone',
    set: {
      'sparkConnect.master': 'spark://elsewhere:7077',
      'networkPolicy.workers': [{ ipBlock: { cidr: '192.0.2.0/24' } }],
    },
    at: '',
  },
  ...(['k8s', 'standalone', 'local'] as const).map((mode) => ({
    chart: 'charts/spark-3.5',
    mode,
    set: { 'spark-connect.sparkConnect.backendMode': mode },
    at: 'spark-connect.',
  })),
];

/** Everything that has a switch. */
function everything(at: string): Record<string, unknown> {
  const secret = 'mine';
  return {
    [`${at}metrics.serviceMonitor.enabled`]: true,
    [`${at}podDisruptionBudget.enabled`]: true,
    [`${at}dynamicAllocation.enabled`]: true,
    [`${at}openTelemetry`]: { enabled: true, configMap: 'otel' },
    [`${at}fluentBit`]: { enabled: true, configMap: 'fluent' },
    [`${at}unityCatalog`]: { enabled: true, uri: 'https://uc', existingSecret: secret },
    [`${at}driverFence`]: { enabled: true, configMap: 'fence' },
    [`${at}extraEnv`]: [{ name: 'ONE', value: '1' }],
    [`${at}tolerations`]: [{ key: 'spark', operator: 'Exists' }],
    [`${at}executor.nodeSelector`]: { pool: 'spark' },
    [`${at}imagePullSecrets`]: [{ name: 'registry' }],
    [`${at}extraObjects`]: [
      {
        apiVersion: 'v1',
        kind: 'ConfigMap',
        metadata: { name: '{{ .Release.Name }}-more' },
        data: {},
      },
    ],
  };
}

function server(objects: readonly Rendered[]): PodTemplate {
  const found = objects.find(
    ({ kind, metadata }) => kind === 'StatefulSet' && metadata.name.endsWith('spark-connect'),
  );
  if (!found) throw new Error('There is no server.');
  return (found['spec'] as { template: PodTemplate }).template;
}

/** Every pod that the chart makes, with the name of what makes it. */
function pods(objects: readonly Rendered[]): { name: string; spec: Pod }[] {
  return objects.flatMap((object) => {
    const { kind, metadata } = object;
    if (kind === 'Pod') return [{ name: metadata.name, spec: object['spec'] as Pod }];
    const template = (object['spec'] as { template?: { spec: Pod } } | undefined)?.template;
    return template ? [{ name: `${kind} ${metadata.name}`, spec: template.spec }] : [];
  });
}

interface Pod {
  readonly enableServiceLinks?: boolean;
  readonly automountServiceAccountToken?: boolean;
  readonly containers: readonly (Container & { readonly image: string })[];
  readonly initContainers?: readonly Container[];
}

/** spark-defaults.conf by name, unescaped as far as these tests need it. */
function properties(objects: readonly Rendered[]): Map<string, string> {
  const { data } = objects.find(
    ({ kind, metadata }) => kind === 'ConfigMap' && metadata.name.endsWith('spark-connect-conf'),
  ) as unknown as { data: Record<string, string> };
  const lines = (data['spark-defaults.conf'] ?? '').split('\n').filter((line) => line !== '');
  return new Map(
    lines.map((line) => {
      const at = line.indexOf('=');
      return [line.slice(0, at), line.slice(at + 1)];
    }),
  );
}

for (const { name, lint, text, objects } of helms.map((each) => ({
  name: each.name,
  lint: each.lint.bind(each),
  text: each.text.bind(each),
  objects: each.objects.bind(each),
}))) {
  for (const { chart, mode, set, at } of variants) {
    const more =
      mode === 'local'
        ? { ...everything(at), [`${at}dynamicAllocation.enabled`]: false }
        : everything(at);
    for (const [what, values] of [
      ['', set],
      [' with everything on', { ...set, ...more }],
    ] as const) {
      test(`${name}: ${chart} in mode ${mode}${what} renders twice to the same bytes and has no fault`, (t) => {
        t.notThrows(() => lint(chart, { set: values }));
        t.is(text(chart, { set: values }), text(chart, { set: values }));
        t.true(objects(chart, { set: values }).length > 3);
      });
    }
  }
}

for (const { chart, mode, set, at } of variants) {
  const objects = helm.objects(chart, { set });
  const { spec } = server(objects);
  const [container] = spec.containers;
  const conf = properties(objects);

  test(`${chart} in mode ${mode}: container, Service, NetworkPolicy and Spark agree on the ports`, (t) => {
    const ports = Object.fromEntries(
      (container?.ports ?? []).map(({ name, containerPort }) => [name, containerPort]),
    );
    const wanted = {
      'spark-connect': 15002,
      ui: 4040,
      ...(mode === 'local' ? {} : { driver: 7078, blockmanager: 7079 }),
    };
    t.deepEqual(ports, wanted, 'and none that the mode has no use for');
    const names = {
      'spark-connect': 'spark.connect.grpc.binding.port',
      driver: 'spark.driver.port',
      blockmanager: 'spark.driver.blockManager.port',
      ui: 'spark.ui.port',
    };
    for (const [name, key] of Object.entries(names)) {
      t.is(conf.get(key), name in wanted ? String(ports[name]) : undefined, key);
    }
    const headless = one(objects, 'Service', 'sc-spark-connect-headless')['spec'] as {
      ports: { name: string; port: number; targetPort: string }[];
    };
    t.deepEqual(Object.fromEntries(headless.ports.map(({ name, port }) => [name, port])), wanted);
    t.true(headless.ports.every(({ name, targetPort }) => name === targetPort));
    const policy = one(objects, 'NetworkPolicy', 'sc-spark-connect')['spec'] as {
      ingress: { from: unknown[]; ports: { port: number }[] }[];
    };
    t.deepEqual(
      policy.ingress
        .flatMap((rule) => rule.ports.map(({ port }) => port))
        .toSorted((a, b) => a - b),
      Object.values(wanted).toSorted((a, b) => a - b),
    );
    t.true(
      policy.ingress.every(({ from }) => from.length > 0),
      'an empty list would let everyone in',
    );
  });

  test(`${chart} in mode ${mode}: pods write to emptyDirs alone, have no service links and fit "restricted"`, (t) => {
    for (const { name, spec: pod } of pods(
      helm.objects(chart, {
        set: { ...set, ...everything(at), [`${at}dynamicAllocation.enabled`]: false },
      }),
    )) {
      t.is(pod.enableServiceLinks, false, name);
      for (const each of [...pod.containers, ...(pod.initContainers ?? [])]) {
        t.like(
          each.securityContext,
          {
            readOnlyRootFilesystem: true,
            allowPrivilegeEscalation: false,
            capabilities: { drop: ['ALL'] },
          },
          `${name} ${each.name}`,
        );
        const names = (each.env ?? []).map((variable) => variable.name);
        t.is(new Set(names).size, names.length, `${name} ${each.name} sets a variable twice`);
        const paths = (each.volumeMounts ?? []).map(({ mountPath }) => mountPath);
        t.is(new Set(paths).size, paths.length, `${name} ${each.name} mounts a path twice`);
      }
    }
    const templates = (container?.volumeMounts ?? []).find(
      ({ mountPath }) => mountPath === '/opt/spark/conf-k8s',
    );
    t.true(templates?.readOnly);
    const rendered = spec.volumes?.find(
      ({ name }) =>
        name ===
        container?.volumeMounts?.find(({ mountPath }) => mountPath === '/tmp/spark-conf')?.name,
    );
    t.truthy(rendered?.emptyDir);
    t.true(
      container?.env?.some(
        ({ name, value }) => name === 'SPARK_CONF_DIR' && value === '/tmp/spark-conf',
      ),
    );
  });

  test(`${chart} in mode ${mode}: the gateway finds the pod, and no selector of one release or part fits another's`, (t) => {
    t.like(server(objects).metadata.labels, { 'spark-role': 'driver', 'spark-connect': 'enabled' });
    const other = helm.objects(chart, { set, release: 'sc2' });
    const templates = [...objects, ...other].flatMap((object) => {
      const template = (object['spec'] as { template?: PodTemplate } | undefined)?.template;
      return template ? [{ of: object, labels: template.metadata.labels }] : [];
    });
    for (const object of objects) {
      const selector = (object['spec'] as { selector?: Record<string, unknown> } | undefined)
        ?.selector;
      if (!selector) continue;
      const labels = (selector['matchLabels'] ?? selector) as Record<string, string>;
      const fits = templates.filter((template) =>
        Object.entries(labels).every(([key, value]) => template.labels[key] === value),
      );
      t.is(
        fits.length,
        object.kind === 'ServiceMonitor' ? 0 : 1,
        `${object.kind} ${object.metadata.name}`,
      );
    }
  });
}

for (const chart of ['charts/spark-4.1', 'charts/spark-3.5']) {
  const at = chart.endsWith('3.5') ? 'spark-connect.' : '';

  test(`${chart}: the older spelling of the mode counts, and a contradiction is refused`, (t) => {
    const modes = [
      ['local', 'local'],
      ['local[2]', 'local[2]'],
      ['k8s', 'k8s://https://kubernetes.default.svc'],
      ['k8s://https://10.0.0.1:6443', 'k8s://https://10.0.0.1:6443'],
    ];
    for (const [master, found] of modes) {
      const objects = helm.objects(chart, { set: { [`${at}sparkConnect.master`]: master } });
      t.is(properties(objects).get('spark.master'), found);
    }
    t.regex(
      helm.refusal(chart, {
        set: { [`${at}sparkConnect.master`]: 'local', [`${at}sparkConnect.backendMode`]: 'k8s' },
      }),
      /backendMode=k8s and sparkConnect.master=local contradict each other/,
    );
    t.regex(
      helm.refusal(chart, { set: { [`${at}sparkConnect.master`]: 'yarn' } }),
      /"yarn" is no master/,
    );
  });

  test(`${chart}: the driver has a name that executors of every namespace resolve, and a new name at each start`, (t) => {
    const conf = properties(helm.objects(chart));
    t.is(
      conf.get('spark.driver.host'),
      '${POD_NAME}.sc-spark-connect-headless.team.svc.cluster.local',
    );
    const service = one(helm.objects(chart), 'Service', 'sc-spark-connect-headless')[
      'spec'
    ] as Record<string, unknown>;
    t.like(service, { clusterIP: 'None', publishNotReadyAddresses: true });
    t.is(conf.get('spark.kubernetes.driver.pod.name'), '${POD_NAME}');
    t.is(
      conf.get('spark.kubernetes.executor.podNamePrefix'),
      undefined,
      'a fixed prefix would clash with executors of the start before',
    );
    t.is(conf.get('spark.blockManager.port'), '7079');
  });

  test(`${chart}: the executor template is read where it is rendered`, (t) => {
    const objects = helm.objects(chart);
    const { data } = one(objects, 'ConfigMap', 'sc-spark-connect-executor') as unknown as {
      data: Record<string, string>;
    };
    const path = properties(objects).get('spark.kubernetes.executor.podTemplateFile');
    t.deepEqual(
      Object.keys(data).map((name) => `/tmp/spark-conf/${name}`),
      [path],
    );
  });

  test(`${chart}: Spark's names are those that exist`, (t) => {
    const conf = properties(helm.objects(chart, { set: everything(at) }));
    t.is(
      conf.get('spark.metrics.conf.*.sink.prometheusServlet.class'),
      'org.apache.spark.metrics.sink.PrometheusServlet',
    );
    t.is(conf.get('spark.connect.grpc.maxInboundMessageSize'), '268435456');
    t.is(conf.get('spark.connect.grpc.arrow.maxBatchSize'), '10485760');
    t.is(conf.get('spark.connect.session.timeout'), undefined);
    t.is(
      conf.get('spark.connect.session.manager.defaultSessionTimeout'),
      chart.endsWith('3.5') ? undefined : '24h',
    );
    t.is(conf.get('spark.dynamicAllocation.enabled'), 'true');
    t.is(conf.get('spark.executor.instances'), undefined);
    t.is(conf.get('spark.sql.catalog.unity'), 'io.unitycatalog.spark.UCSingleCatalog');
    t.is(conf.get('spark.sql.catalog.unity.token'), '${UNITY_CATALOG_TOKEN}');
    t.is(conf.get('spark.jars'), '/opt/spark/driver-fence/driver-fence.jar');
    t.is(conf.get('spark.connect.grpc.interceptor.classes'), 'sparkgateway.DriverFence');
    const others = properties(
      helm.objects(chart, {
        set: {
          ...everything(at),
          [`${at}sparkConf`]: { 'spark.connect.grpc.interceptor.classes': 'a.B' },
        },
      }),
    );
    t.is(others.get('spark.connect.grpc.interceptor.classes'), 'a.B,sparkgateway.DriverFence');
  });

  test(`${chart}: nothing is asked for that nobody makes`, (t) => {
    const objects = helm.objects(chart);
    const text = JSON.stringify(objects);
    t.false(text.includes('secretKeyRef'));
    t.false(objects.some(({ kind }) => kind === 'Secret'));
    t.is(properties(objects).get('spark.eventLog.enabled'), 'false');
    t.is(properties(objects).get('spark.eventLog.dir'), undefined);
    const logged = properties(
      helm.objects(chart, { set: { [`${at}eventLog.dir`]: 's3a://logs/events' } }),
    );
    t.is(logged.get('spark.eventLog.dir'), 's3a://logs/events');
  });

  test(`${chart}: what the chart sets cannot be set twice`, (t) => {
    t.regex(
      helm.refusal(chart, { set: { [`${at}sparkConf`]: { 'spark.driver.port': 1 } } }),
      /sparkConf.spark.driver.port is what the chart sets/,
    );
    t.regex(
      helm.refusal(chart, { set: { [`${at}extraEnv`]: [{ name: 'HOME', value: '/' }] } }),
      /extraEnv sets HOME, which the chart sets already/,
    );
    t.regex(
      helm.refusal(chart, {
        set: {
          [`${at}extraEnv`]: [
            { name: 'A', value: '1' },
            { name: 'A', value: '2' },
          ],
        },
      }),
      /extraEnv sets A, which extraEnv itself sets already/,
    );
  });

  test(`${chart}: a value that is misspelt is refused, also below`, (t) => {
    for (const path of ['sparkConect.master', 'sparkConnect.backendmode', 'image.tags']) {
      t.regex(
        helm.refusal(chart, { set: { [`${at}${path}`]: 'x' } }),
        /[Aa]dditional propert/,
        path,
      );
    }
    t.notThrows(() =>
      helm.text(chart, { set: { global: { team: 'a' }, [`${at}global`]: { b: 1 } } }),
    );
  });

  test(`${chart}: no value reaches a command`, (t) => {
    const mark = 'x$(touch /tmp/owned)`id`;\'"\\';
    const objects = helm.objects(chart, {
      set: {
        [`${at}sparkConf`]: { [`spark.a`]: mark },
        [`${at}clusterDomain`]: 'example.org',
        [`${at}eventLog.dir`]: mark,
      },
    });
    for (const { name, spec } of pods(objects)) {
      for (const { command, args } of [
        ...spec.containers,
        ...(spec.initContainers ?? []),
      ] as readonly {
        command?: readonly string[];
        args?: readonly string[];
      }[]) {
        t.false(JSON.stringify([command, args]).includes('touch'), name);
      }
    }
    const { data } = one(objects, 'ConfigMap', 'sc-spark-connect-conf') as unknown as {
      data: Record<string, string>;
    };
    t.false(data['start.sh']?.includes('touch'));
  });
}

/** The objects of the standalone cluster. */
const standaloneObjects = (set: Record<string, unknown>) =>
  helm
    .objects('charts/spark-3.5', { set })
    .map(({ kind, metadata }) => `${kind} ${metadata.name}`)
    .filter((name) => /spark-(master|worker)/.test(name))
    .toSorted();

test('spark-3.5 does not promise a token that nobody asks for', (t) => {
  const token = { 'spark-connect.driverToken.existingSecret': 'driver' };
  t.regex(
    helm.refusal('charts/spark-3.5', { set: token }),
    /driverToken.existingSecret needs driverFence.enabled/,
  );
  t.notThrows(() =>
    helm.text('charts/spark-3.5', { set: { ...token, ...everything('spark-connect.') } }),
  );
});

test('spark-3.5 runs a standalone cluster where its server needs one, and only there', (t) => {
  const mode = 'spark-connect.sparkConnect.backendMode';
  const cluster = [
    'Deployment sc-spark-worker',
    'NetworkPolicy sc-spark-master',
    'Service sc-spark-master',
    'StatefulSet sc-spark-master',
  ];
  t.deepEqual(standaloneObjects({}), []);
  t.deepEqual(standaloneObjects({ [mode]: 'standalone' }), cluster);
  t.deepEqual(
    standaloneObjects({
      [mode]: 'standalone',
      'spark-connect.sparkConnect.master': 'spark://elsewhere:7077',
    }),
    [],
  );
  t.regex(
    helm.refusal('charts/spark-3.5', {
      set: { [mode]: 'standalone', 'spark-standalone.enabled': false },
    }),
    /needs spark-connect.sparkConnect.master=spark/,
  );
  t.deepEqual(
    helm
      .objects('charts/spark-3.5/charts/spark-standalone')
      .map(({ kind, metadata }) => `${kind} ${metadata.name}`)
      .toSorted(),
    cluster,
    'it can be installed alone',
  );
});

test('the server of spark-3.5 in mode standalone dials the master by the name that its Service has', (t) => {
  const objects = helm.objects('charts/spark-3.5', {
    set: { 'spark-connect.sparkConnect.backendMode': 'standalone' },
  });
  const url = `spark://${one(objects, 'Service', 'sc-spark-master').metadata.name}.team.svc.cluster.local:7077`;
  t.is(properties(objects).get('spark.master'), url);
  const [worker] = pods(objects).filter(({ name }) => name.startsWith('Deployment'));
  t.is(worker?.spec.containers[0]?.env?.find(({ name }) => name === 'MASTER_URL')?.value, url);
});

test('names and labels are good for every release name that Helm takes, and no two releases share one', (t) => {
  const name = stringMatching(
    /^[a-z0-9]([-a-z0-9]{0,20}[a-z0-9])?(\.[a-z0-9]([-a-z0-9]{0,20}[a-z0-9])?)?$/,
  ).filter((text) => text.length <= 53);
  const long = 'a-very-long-release-name-of-a-team-in-an-environment';
  assert(
    property(name, (release) => {
      const objects = helm.objects('charts/spark-3.5', {
        release,
        set: { 'spark-connect.sparkConnect.backendMode': 'standalone' },
      });
      for (const { kind, metadata } of objects) {
        // A StatefulSet's name gets a hash of 11 characters in a label, a pod's name an ordinal.
        const most = kind === 'StatefulSet' ? 52 : 63;
        t.true(metadata.name.length <= most, `${kind} ${metadata.name}`);
        t.regex(metadata.name, /^[a-z]([-a-z0-9]*[a-z0-9])?$/);
        for (const value of Object.values(metadata.labels ?? {})) {
          t.regex(value, /^([A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?)?$/);
        }
      }
      const ids = objects.map(({ kind, metadata }) => `${kind} ${metadata.name}`);
      t.is(new Set(ids).size, ids.length);
    }),
    { numRuns: tries(15), examples: [[long], [`${long}x`], ['spark-connect'], ['1.2']] },
  );
  const names = [long, `${long}x`].map(
    (release) => one(helm.objects('charts/spark-4.1', { release }), 'StatefulSet').metadata.name,
  );
  t.not(names[0], names[1]);
});
