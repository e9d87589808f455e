/** `analyze`. */
import { readNamedText } from '../../lib/files/files.js';
import { hasStatus } from '../../lib/kubernetes/http.js';
import { GatewayError } from '../../model/errors.js';
import { policyOptions } from '../../settings/policy-options.js';
import type { Settings } from '../../settings/table.js';
import { type Finding, notChecked, shownFindings } from '../analysis/finding.js';
import {
  missingRights,
  rightsAtHome,
  rightsForBatch,
  rightsForDrivers,
  rightsToReview,
  type ServiceAccount,
} from '../analysis/rights.js';
import type { TrialOptions } from '../analysis/templates.js';
import { definitionsAtHome, missingDefinitions } from '../analysis/definitions.js';
import {
  type AnalyzedCluster,
  type Invocation,
  type KubernetesClusters,
  type LocalCommand,
  printShown,
} from '../command.js';
import { outputOption } from '../options.js';
import { EXIT_FAILED } from '../report.js';

/** Of k8s/rbac.yaml. */
const SERVICE_ACCOUNT = 'spark-gateway-control-plane';

export const analyze: LocalCommand = {
  name: 'analyze',
  about:
    'Looks in Kubernetes for what keeps the gateway from working: rights, definitions, the policy, driver templates. Changes nothing. Exit code 1 if there is an error.',
  options: [
    {
      name: 'service-account',
      value: 'namespace/name',
      about: `Whose rights are looked at; else ${SERVICE_ACCOUNT} in the gateway's namespace.`,
    },
    { name: 'self', about: 'Looks at the rights of the kubeconfig, or of the pod, itself.' },
    {
      name: 'namespace',
      short: 'n',
      value: 'a,b',
      about:
        'Looks at these namespaces of teams; else at those of drivers.kubernetes.namespaces, else at those that the policy keeps warm.',
    },
    {
      name: 'policy',
      value: 'file',
      about: 'This policy instead of the one that the settings name.',
    },
    {
      name: 'templates',
      value: 'file',
      about: 'These driver templates instead of those that the settings name.',
    },
    outputOption,
  ],
  settingsOf: 'control-plane',
  check(options) {
    const account = options.get('service-account');
    return [
      ...(account !== undefined && options.has('self')
        ? ['--self and --service-account are two answers to one question: leave one out']
        : []),
      ...(account === undefined || /^[^/]+\/[^/]+$/.test(account)
        ? []
        : [`--service-account ${account}: write it as namespace/name`]),
    ];
  },
  run: lookAround,
};

async function lookAround(invocation: Invocation): Promise<number> {
  const settings = await invocation.settings();
  if (settings.drivers.source !== 'kubernetes') {
    throw new GatewayError(
      'ARGUMENT_INVALID',
      `"analyze" is for drivers.source kubernetes, and these settings have ${settings.drivers.source}: name those of the control plane with --config`,
    );
  }
  const clusters = await invocation.processes.kubernetes(settings);
  try {
    const findings = await analyzed(invocation, settings, clusters);
    const shown = shownFindings(findings, ['rights', 'definitions', 'policy', 'templates']);
    printShown(invocation, shown);
    return shown.differs === true ? EXIT_FAILED : 0;
  } finally {
    clusters.close();
  }
}

async function analyzed(
  { options }: Invocation,
  settings: Settings,
  { clusters, home, namespace: own, gateway }: KubernetesClusters,
): Promise<readonly Finding[]> {
  const { kubernetes } = settings.drivers;
  const { policyResource } = settings;
  const account = accountOf(options, own);
  const named = options
    .get('namespace')
    ?.split(',')
    .map((name) => name.trim());
  const configured = kubernetes.namespaces.length === 0 ? undefined : kubernetes.namespaces;

  // Not loaded by processes, which have the table of commands as well.
  const { analyzePolicy } = await import('../analysis/analyzed-policy.js');
  const { definitionsForDrivers, tryTemplates } = await import('../analysis/templates.js');
  const policyFile = options.get('policy');
  const place =
    policyResource !== undefined && policyFile === undefined
      ? { cluster: home, namespace: own, name: policyResource }
      : { file: policyFile ?? settings.policyFile };
  const { policy, findings } = await analyzePolicy(place, policyOptions(settings), configured);
  const templates = await templatesOf(options, settings);

  const namespaces = named ?? configured ?? policy?.warmNamespaces ?? [];
  const several = clusters.length > 1 || !clusters.includes(home);
  const at = ({ name }: AnalyzedCluster, found: readonly Omit<Finding, 'cluster'>[]) =>
    found.map((finding): Finding => (several ? { ...finding, cluster: name } : finding));
  const trial = {
    template: templates.template,
    policy,
    gateway,
    maxMessageBytes: settings.listener.maxMessageSizeBytes,
  };

  const trials = async (cluster: AnalyzedCluster, there: readonly string[]) =>
    namespaces.length === 0
      ? [nothingTried]
      : (await Promise.all(there.map((each) => tryTemplates(cluster, each, trial)))).flat();

  const { kubernetes: batch, outputUrl } = settings.batch;
  const inUse = { policyResource: policyResource !== undefined, batch: outputUrl !== undefined };
  const forBatch = (inUse.batch ? clusters : []).map(async (cluster) => {
    const there = batch.namespaces.length === 0 ? [undefined] : batch.namespaces;
    const missing = there.map((namespace) =>
      missingRights(
        {
          cluster,
          namespace,
          rights: rightsForBatch,
          remedy: `Bind the ClusterRole spark-gateway-batch of k8s/rbac.yaml${namespace === undefined ? '' : ` in ${namespace}, as k8s/team-namespace.yaml does`}.`,
        },
        account,
      ),
    );
    return at(cluster, (await Promise.all(missing)).flat());
  });
  const atHome = Promise.all([
    missingDefinitions(home, definitionsAtHome(inUse)),
    missingRights(
      {
        cluster: home,
        namespace: own,
        rights: rightsAtHome(gateway, inUse),
        remedy: `Apply k8s/rbac.yaml: the Role spark-gateway-control-plane and its RoleBinding in ${own}.`,
      },
      account,
    ),
    settings.admin.kubernetesAudience === undefined
      ? []
      : missingRights(
          {
            cluster: home,
            namespace: undefined,
            rights: rightsToReview,
            remedy:
              'Apply the ClusterRoleBinding spark-gateway-token-reviews of k8s/rbac.yaml, or unset admin.kubernetes_audience.',
          },
          account,
        ),
  ]);
  const forDrivers = clusters.map(async (cluster) => {
    const there = await existing(cluster, namespaces);
    const [rights, definitions, tried] = await Promise.all([
      driverRights(cluster, there.names, { account, configured, named, makes: templates.make }),
      missingDefinitions(cluster, definitionsForDrivers(there.names, trial)),
      templates.make ? trials(cluster, there.names) : [],
    ]);
    return at(cluster, [...there.findings, ...rights, ...definitions, ...tried]);
  });
  return [
    ...findings,
    ...templates.findings,
    ...at(home, (await atHome).flat()),
    ...(await Promise.all(forDrivers)).flat(),
    ...(await Promise.all(forBatch)).flat(),
  ];
}

const nothingTried: Omit<Finding, 'cluster'> = {
  code: 'TEMPLATE_NOT_TRIED',
  severity: 'info',
  object: 'driver templates',
  message: 'Neither the settings nor the policy name a namespace in which drivers are made.',
  remedy: 'Name one with -n, and what the templates make is tried there.',
};

function accountOf(options: ReadonlyMap<string, string>, own: string): ServiceAccount | undefined {
  if (options.has('self')) return undefined;
  const [namespace = '', name = ''] = options.get('service-account')?.split('/') ?? [];
  return name === '' ? { namespace: own, name: SERVICE_ACCOUNT } : { namespace, name };
}

/** Where the whole cluster is looked at, rights in all of it are needed; else those in each namespace. */
async function driverRights(
  cluster: AnalyzedCluster,
  there: readonly string[],
  {
    account,
    configured,
    named,
    makes,
  }: {
    readonly account: ServiceAccount | undefined;
    readonly configured: readonly string[] | undefined;
    readonly named: readonly string[] | undefined;
    readonly makes: boolean;
  },
): Promise<readonly Omit<Finding, 'cluster'>[]> {
  const everywhere = named === undefined && configured === undefined;
  const scopes = everywhere ? [undefined] : there;
  const found = await Promise.all(
    scopes.map((namespace) =>
      missingRights(
        {
          cluster,
          namespace,
          rights: rightsForDrivers(makes),
          remedy:
            namespace === undefined
              ? 'Apply the ClusterRoleBinding spark-gateway-drivers of k8s/rbac.yaml, or list the namespaces in drivers.kubernetes.namespaces.'
              : `Apply the RoleBinding of k8s/team-namespace.yaml in ${namespace}, and the ClusterRole spark-gateway-drivers of k8s/rbac.yaml.`,
        },
        account,
      ),
    ),
  );
  return found.flat();
}

interface AnalyzedTemplates {
  readonly template: TrialOptions['template'];
  /** Whether the gateway makes drivers. */
  readonly make: boolean;
  readonly findings: readonly Omit<Finding, 'cluster'>[];
}

async function templatesOf(
  options: ReadonlyMap<string, string>,
  { drivers, sessionTtlMs }: Settings,
): Promise<AnalyzedTemplates> {
  const file = options.get('templates') ?? drivers.kubernetes.templatesFile;
  if (file === undefined) return { template: () => undefined, make: false, findings: [] };
  const { compileTemplates } = await import('../../discovery/kubernetes/template-file.js');
  try {
    const text = await readNamedText(file, 'SETTINGS_INVALID', 'the file of driver templates');
    const { template } = compileTemplates(text, file, sessionTtlMs);
    return { template, make: true, findings: [] };
  } catch (error) {
    if (!(error instanceof GatewayError)) throw error;
    const findings = error.message.split('\n').map((message) => ({
      code: 'TEMPLATES_INVALID' as const,
      severity: 'error' as const,
      object: file,
      message,
      remedy: 'Correct the driver templates; docs/kubernetes.md describes them.',
    }));
    return { template: () => undefined, make: false, findings };
  }
}

/** Those that there are; one that nobody may look at counts as there. */
async function existing(
  { api }: AnalyzedCluster,
  names: readonly string[],
): Promise<{ readonly names: readonly string[]; readonly findings: Omit<Finding, 'cluster'>[] }> {
  const findings: Omit<Finding, 'cluster'>[] = [];
  const there = await Promise.all(
    names.map(async (name) => {
      const object = `Namespace ${name}`;
      try {
        await api.request({ path: `/api/v1/namespaces/${name}` });
        return [name];
      } catch (error) {
        if (hasStatus(error, 403)) return [name];
        findings.push(
          hasStatus(error, 404)
            ? {
                code: 'NAMESPACE_MISSING',
                severity: 'error',
                object,
                message: 'It does not exist.',
                remedy: `Make it (k8s/team-namespace.yaml), or take it out of drivers.kubernetes.namespaces and the policy.`,
              }
            : notChecked(object, error),
        );
        return [];
      }
    }),
  );
  return { names: there.flat(), findings };
}
