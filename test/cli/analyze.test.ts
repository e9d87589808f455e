/** `analyze` against an API server that has, lacks and refuses things. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test, { type ExecutionContext } from 'ava';
import type { Finding } from '../../src/cli/analysis/finding.js';
import {
  type Right,
  rightsAtHome,
  rightsForBatch,
  rightsForDrivers,
} from '../../src/cli/analysis/rights.js';
import type { Processes } from '../../src/cli/command.js';
import { analyze } from '../../src/cli/commands/analyze.js';
import { KubernetesError } from '../../src/lib/kubernetes/http.js';
import type { KubernetesObject } from '../../src/lib/kubernetes/objects.js';
import { loadSettings } from '../../src/settings/compile-settings.js';
import { FakeKubernetes, type ReviewedAttributes } from '../support/fake-kubernetes.js';
import { manifests } from '../support/kube-manifests.js';

const POLICY = `
apiVersion: spark-gateway/v1alpha1
kind: RoutingPolicy
targets: { namespace: 'sjns-{team}-{environment}', environments: [dev] }
access: [{ name: all, who: { groups: [everyone] }, what: { teams: [data], environments: [dev] } }]
pools: [{ size: 1, maximum: 2 }]
issuers: [{ issuer: 'https://issuer.example.com', audiences: [a] }]
`;
const TEMPLATE = `
  - kind: SparkConnect
    spark_version: 4.1.3
    image: apache/spark:4.1.3
    driver: { cores: 1, memory: 1g }
    executor: { cores: 1, memory: 1g }
`;
const TEMPLATES = `
apiVersion: spark-gateway/v1alpha1
kind: DriverTemplates
templates:${TEMPLATE}`;
const OWN = 'spark-gateway';
const TEAM = 'sjns-data-dev';

/** A cluster in which nothing is wrong. */
function cluster(): FakeKubernetes {
  const fake = new FakeKubernetes();
  const put = (path: string, object: object) =>
    fake.objects.set(path, { metadata: { name: 'x' }, ...object });
  put('/apis/spark-gateway.io/v1alpha1', {
    resources: [{ name: 'sparkdrivers' }, { name: 'routingpolicies' }],
  });
  put('/apis/sparkoperator.k8s.io/v1alpha1', { resources: [{ name: 'sparkconnects' }] });
  put(`/api/v1/namespaces/${TEAM}`, {});
  return fake;
}

interface Given {
  readonly fake?: FakeKubernetes;
  readonly policy?: string;
  readonly templates?: string;
  readonly flags?: Readonly<Record<string, string>>;
  /** undefined: not set. */
  readonly set?: Readonly<Record<string, string | undefined>>;
}

async function run(t: ExecutionContext, given: Given = {}) {
  const { fake = cluster(), policy = POLICY, templates = TEMPLATES, flags = {}, set = {} } = given;
  const folder = mkdtempSync(join(tmpdir(), 'analyze-'));
  t.teardown(() => rmSync(folder, { recursive: true }));
  writeFileSync(join(folder, 'policy.yaml'), policy);
  writeFileSync(join(folder, 'templates.yaml'), templates);
  const values = {
    policy_file: join(folder, 'policy.yaml'),
    'drivers.source': 'kubernetes',
    'drivers.kubernetes.templates_file': join(folder, 'templates.yaml'),
    'drivers.kubernetes.namespaces': TEAM,
    ...set,
  };
  const settings = await loadSettings({
    file: undefined,
    overrides: Object.entries(values).flatMap(([name, text]) =>
      text === undefined ? [] : [[name, text] as const],
    ),
    env: {},
    cwd: folder,
  });
  let text = '';
  let closed = false;
  const home = { name: 'here', api: fake };
  const exitCode = await analyze.run({
    operands: [],
    options: new Map(Object.entries(flags)),
    commands: [],
    settings: () => Promise.resolve(settings),
    print: (more) => void (text += more),
    processes: {
      kubernetes: () =>
        Promise.resolve({
          clusters: [home],
          home,
          namespace: OWN,
          gateway: 'spark-gateway',
          close: () => void (closed = true),
        }),
    } as unknown as Processes,
  });
  t.true(closed);
  return { exitCode, text };
}

async function found(t: ExecutionContext, given: Given = {}) {
  const { exitCode, text } = await run(t, { ...given, flags: { output: 'json', ...given.flags } });
  const { findings } = JSON.parse(text) as { readonly findings: readonly Finding[] };
  for (const { message, remedy } of findings) t.true(message.length > 0 && remedy.length > 0);
  return {
    exitCode,
    findings,
    brief: findings.map(({ severity, code, object }) => `${severity} ${code} ${object}`),
  };
}

/** With an admission that answers so to drivers. */
function refusing(error: KubernetesError): FakeKubernetes {
  const fake = cluster();
  fake.admit = () => {
    throw error;
  };
  return fake;
}

test('where all is there nothing is found, and nothing is made', async (t) => {
  const fake = cluster();
  const before = fake.objects.size;
  t.deepEqual(await run(t, { fake }), {
    exitCode: 0,
    text: 'Nothing is wrong with rights, definitions, policy, templates.\n',
  });
  t.is(fake.objects.size, before);
});

test('a namespace without its RoleBinding is one finding, a single right another', async (t) => {
  const fake = cluster();
  fake.may = ({ namespace }) => namespace !== TEAM;
  const bound = await found(t, { fake });
  t.deepEqual(bound.brief, [`error ROLE_BINDING_MISSING Namespace ${TEAM}`]);
  t.regex(bound.findings[0]?.message ?? '', /spark-gateway\/spark-gateway-control-plane has none/);
  t.regex(bound.findings[0]?.remedy ?? '', /team-namespace\.yaml/);
  t.is(bound.exitCode, 1);
  fake.may = ({ resource, verb }) => !(resource === 'pods' && verb === 'watch');
  const one = await found(t, { fake });
  t.deepEqual(one.brief, [`error RIGHT_MISSING Namespace ${TEAM}`]);
  t.regex(one.findings[0]?.message ?? '', /may not watch pods here/);
});

test('without a right that only tells more, the gateway works: a warning, and exit code 0', async (t) => {
  const fake = cluster();
  fake.may = ({ resource }) => resource !== 'resourcequotas';
  const { brief, exitCode } = await found(t, { fake });
  t.deepEqual(brief, [`warning RIGHT_MISSING Namespace ${TEAM}`]);
  t.is(exitCode, 0);
});

test("the gateway's own namespace, its lease and its key", async (t) => {
  const fake = cluster();
  fake.may = ({ namespace, resource, name }) =>
    namespace !== OWN || (name === undefined && resource !== 'sparkdrivers');
  const { findings } = await found(t, { fake });
  const messages = findings.map(({ message }) => message).join('\n');
  t.regex(messages, /get, update leases\.coordination\.k8s\.io "spark-gateway"/);
  t.regex(messages, /get secrets "spark-gateway-key"/);
  t.regex(messages, /sparkdrivers\.spark-gateway\.io/);
  t.true(findings.every(({ object }) => object === `Namespace ${OWN}`));
});

test('rights are those of the service account that is named, or of whoever asks', async (t) => {
  const asked: { path: string; user: unknown }[] = [];
  const fake = cluster();
  fake.fate = ({ path, body }) => {
    const { spec } = (body ?? {}) as { readonly spec?: { readonly user?: unknown } };
    if (path.endsWith('reviews')) asked.push({ path, user: spec?.user });
    return 'answered';
  };
  await run(t, { fake, flags: { 'service-account': 'a/b' } });
  t.true(asked.every(({ user }) => user === 'system:serviceaccount:a:b'));
  asked.length = 0;
  await run(t, { fake, flags: { self: 'true' } });
  t.true(asked.every(({ path }) => path.endsWith('/selfsubjectaccessreviews')));
  t.true(asked.length > 20);
});

test('who may not ask for the rights of others is told how to ask, and the rest is checked', async (t) => {
  const fake = cluster();
  fake.may = () => {
    throw new KubernetesError(403, 'Forbidden', 'subjectaccessreviews is forbidden');
  };
  const { brief, findings, exitCode } = await found(t, { fake });
  t.deepEqual(brief, [
    `warning CHECK_NOT_POSSIBLE Namespace ${TEAM}`,
    `warning CHECK_NOT_POSSIBLE Namespace ${OWN}`,
  ]);
  t.regex(findings[0]?.remedy ?? '', /--self/);
  t.is(exitCode, 0);
});

test('a namespace that does not exist', async (t) => {
  const fake = cluster();
  fake.objects.delete(`/api/v1/namespaces/${TEAM}`);
  t.deepEqual((await found(t, { fake })).brief, [`error NAMESPACE_MISSING Namespace ${TEAM}`]);
});

test('a definition that is missing, or in another version only', async (t) => {
  const fake = cluster();
  const records = fake.objects.get('/apis/spark-gateway.io/v1alpha1') as KubernetesObject;
  fake.objects.delete('/apis/spark-gateway.io/v1alpha1');
  fake.objects.delete('/apis/sparkoperator.k8s.io/v1alpha1');
  fake.objects.set('/apis/spark-gateway.io/v1', records);
  fake.objects.set('/apis/spark-gateway.io', {
    metadata: { name: 'x' },
    versions: [{ version: 'v1' }],
  } as unknown as KubernetesObject);
  const { brief, findings } = await found(t, { fake });
  t.deepEqual(brief, [
    'error CRD_MISSING CustomResourceDefinition sparkconnects.sparkoperator.k8s.io',
    'error CRD_VERSION_NOT_SERVED CustomResourceDefinition sparkdrivers.spark-gateway.io',
  ]);
  t.regex(findings[1]?.message ?? '', /serves v1, and the gateway speaks v1alpha1/);
});

test('each mistake of the policy and of the templates, with its place', async (t) => {
  const { brief, findings, exitCode } = await found(t, {
    policy: POLICY.replace('size: 1', 'size: many').replace('maximum: 2', 'maximum: all'),
    templates: TEMPLATES.replace('cores: 1,', 'cores: none,'),
  });
  t.is(brief.filter((line) => line.includes(' POLICY_INVALID ')).length, 2);
  t.is(brief.filter((line) => line.includes(' TEMPLATES_INVALID ')).length, 1);
  t.regex(findings.map(({ message }) => message).join('\n'), /policy\.yaml:6:\d+: /);
  t.is(exitCode, 1);
});

test('the policy as a resource: missing, bad, good', async (t) => {
  const fake = cluster();
  const set = { policy_resource: 'main' };
  const object = `RoutingPolicy ${OWN}/main`;
  t.deepEqual((await found(t, { fake, set })).brief, [`error POLICY_MISSING ${object}`]);
  const path = `/apis/spark-gateway.io/v1alpha1/namespaces/${OWN}/routingpolicies/main`;
  const put = (spec: object) =>
    fake.objects.set(path, { metadata: { name: 'main' }, spec } as unknown as KubernetesObject);
  const issuers = [{ issuer: 'https://issuer.example.com', audiences: ['a'] }];
  put({ issuers, access: 3 });
  t.deepEqual((await found(t, { fake, set })).brief, [`error POLICY_INVALID ${object}`]);
  put({
    issuers,
    access: [{ who: { groups: ['everyone'] }, what: { teams: ['data'], environments: ['dev'] } }],
    targets: { namespace: 'sjns-{team}-{environment}', environments: ['dev'] },
  });
  t.deepEqual((await found(t, { fake, set })).brief, []);
  t.is((await found(t, { fake, set, flags: { policy: '/nowhere' } })).exitCode, 1);
});

test('what is probably a mistake: an issuer of Okta, warm drivers where nobody looks', async (t) => {
  const { brief, exitCode } = await found(t, {
    policy: `${POLICY.replace('https://issuer.example.com', 'https://example.okta.com/')}
warm_namespaces: [sjns-ads-dev]
`,
  });
  t.deepEqual(
    brief.map((line) => line.split(' ').slice(0, 2).join(' ')),
    ['warning POLICY_NOTE', 'warning POLICY_NOTE'],
  );
  t.is(exitCode, 0);
});

test('what the API server refuses of the driver is an error of the template', async (t) => {
  const fake = refusing(
    new KubernetesError(422, 'Invalid', 'spec.server.cores: Invalid value: must be at least 2'),
  );
  const { brief, findings, exitCode } = await found(t, { fake });
  t.deepEqual(brief, [`error TEMPLATE_REFUSED SparkConnect template in Namespace ${TEAM}`]);
  t.regex(findings[0]?.message ?? '', /must be at least 2/);
  t.is(exitCode, 1);
});

test('a driver that cannot be tried is not said to be bad', async (t) => {
  const object = `SparkConnect template in Namespace ${TEAM}`;
  const cases: readonly (readonly [KubernetesError, string])[] = [
    [
      new KubernetesError(403, 'Forbidden', 'User "ann" cannot create resource "sparkconnects"'),
      `warning CHECK_NOT_POSSIBLE ${object}`,
    ],
    [
      new KubernetesError(400, 'BadRequest', 'admission webhook "w" does not support dry run'),
      `warning CHECK_NOT_POSSIBLE ${object}`,
    ],
    [new KubernetesError(503, 'Unavailable', 'no'), `error CLUSTER_UNREACHABLE ${object}`],
    [
      new KubernetesError(403, 'Forbidden', 'exceeded quota: drivers'),
      `error TEMPLATE_REFUSED ${object}`,
    ],
  ];
  for (const [error, expected] of cases) {
    t.deepEqual((await found(t, { fake: refusing(error) })).brief, [expected]);
  }
});

test('namespaces and canaries without a template', async (t) => {
  const canary = `${POLICY}\ncanaries: [{ template: next, share: 10% }]\n`;
  const { brief } = await found(t, { policy: canary });
  t.deepEqual(brief, [`error TEMPLATE_MISSING Namespace ${TEAM}`]);
  const elsewhere = TEMPLATES.replace('  - kind', '  - namespaces: [sjns-ads-*]\n    kind');
  const none = await found(t, { templates: elsewhere });
  t.deepEqual(none.brief, [`warning TEMPLATE_MISSING Namespace ${TEAM}`]);
});

test('an API server that is away is said to be, wherever it is asked', async (t) => {
  const fake = cluster();
  fake.fate = () => 'lost';
  const { findings, exitCode } = await found(t, { fake });
  t.true(findings.length > 1);
  t.true(findings.every(({ code }) => code === 'CLUSTER_UNREACHABLE'));
  t.is(exitCode, 1);
});

test('for people: what, where, and what to do; the worst first', async (t) => {
  const fake = cluster();
  fake.may = ({ resource }) => resource !== 'resourcequotas' && resource !== 'pods';
  const { text } = await run(t, { fake });
  t.is(
    text,
    `Error [RIGHT_MISSING] (Namespace ${TEAM}) ServiceAccount spark-gateway/spark-gateway-control-plane may not get, list, watch pods here.
  To do: Apply the RoleBinding of k8s/team-namespace.yaml in ${TEAM}, and the ClusterRole spark-gateway-drivers of k8s/rbac.yaml.
Warning [RIGHT_MISSING] (Namespace ${TEAM}) ServiceAccount spark-gateway/spark-gateway-control-plane may not list resourcequotas here.
  To do: Apply the RoleBinding of k8s/team-namespace.yaml in ${TEAM}, and the ClusterRole spark-gateway-drivers of k8s/rbac.yaml.
2 found, of which 1 keep the gateway from working; checked: rights, definitions, policy, templates.
`,
  );
});

test('for all namespaces, rights in all of them are looked at', async (t) => {
  const fake = cluster();
  fake.may = ({ namespace }: ReviewedAttributes) => namespace !== undefined;
  const { brief, findings } = await found(t, {
    fake,
    set: { 'drivers.kubernetes.namespaces': undefined },
  });
  t.deepEqual(brief, [
    'error ROLE_BINDING_MISSING all namespaces',
    'info TEMPLATE_NOT_TRIED driver templates',
  ]);
  t.regex(findings[0]?.remedy ?? '', /ClusterRoleBinding spark-gateway-drivers/);
});

test('settings of another source, and two answers to one question, are refused', async (t) => {
  const error = await t.throwsAsync(
    analyze.run({
      operands: [],
      options: new Map(),
      commands: [],
      settings: () => loadSettings({ file: undefined, overrides: [], env: {}, cwd: '.' }),
      print: () => {},
      processes: {} as Processes,
    }),
  );
  t.like(error, { code: 'ARGUMENT_INVALID' });
  const both = new Map([
    ['self', 'true'],
    ['service-account', 'a/b'],
  ]);
  t.is(analyze.check?.(both).length, 1);
  t.is(analyze.check?.(new Map([['service-account', 'a']])).length, 1);
});

/** One line for each verb of each right, in the manifest's words. */
function granted(name: string): readonly string[] {
  const role = manifests('k8s/rbac.yaml').find(
    ({ kind, metadata }) => metadata.name === name && kind.endsWith('Role'),
  );
  const { rules } = role as unknown as {
    readonly rules: readonly {
      readonly apiGroups: readonly string[];
      readonly resources: readonly string[];
      readonly resourceNames?: readonly string[];
      readonly verbs: readonly string[];
    }[];
  };
  return rules
    .flatMap(({ apiGroups, resources, resourceNames = [''], verbs }) =>
      apiGroups.flatMap((group) =>
        resources.flatMap((resource) =>
          resourceNames.flatMap((of) => verbs.map((verb) => `${verb} ${group}/${resource} ${of}`)),
        ),
      ),
    )
    .toSorted();
}

function looked(rights: readonly Right[]): readonly string[] {
  return rights
    .flatMap(({ group, resource, subresource, name = '', verbs }) =>
      verbs.map(
        (verb) =>
          `${verb} ${group}/${resource}${subresource === undefined ? '' : `/${subresource}`} ${name}`,
      ),
    )
    .toSorted();
}

test('the rights that are looked at are those that k8s/rbac.yaml grants', (t) => {
  const all = rightsAtHome('spark-gateway', { policyResource: true, batch: true });
  t.deepEqual(looked(all), granted('spark-gateway-control-plane'));
  t.deepEqual(looked(rightsForDrivers(true)), granted('spark-gateway-drivers'));
  t.deepEqual(looked(rightsForBatch), granted('spark-gateway-batch'));
});
