/** What the gateway must be allowed to do, as k8s/rbac.yaml grants it, and what of that it may not. */
import pLimit from 'p-limit';
import { hasStatus } from '../../lib/kubernetes/http.js';
import type { AnalyzedCluster } from '../command.js';
import { type Finding, notChecked, type Severity } from './finding.js';

/** https://kubernetes.io/docs/reference/access-authn-authz/authorization/ */
export interface Right {
  readonly group: string;
  readonly resource: string;
  readonly subresource?: string;
  /** Of the only object that it is about. */
  readonly name?: string;
  readonly verbs: readonly string[];
  /** `warning`: the gateway works without it and tells less. */
  readonly severity: Exclude<Severity, 'info'>;
}

const RECORDS = 'spark-gateway.io';
const READ = ['get', 'list', 'watch'];
const EVENTS: Right = {
  group: 'events.k8s.io',
  resource: 'events',
  verbs: ['get', 'create', 'patch'],
  severity: 'warning',
};

/** What of the gateway is in use: rights for the rest are not missed. */
export interface InUse {
  /** The policy is a resource. */
  readonly policyResource: boolean;
  /** Batch jobs are run. */
  readonly batch: boolean;
}

/** In the gateway's own namespace. `gateway`: its name, which its lease and key carry. */
export function rightsAtHome(gateway: string, { policyResource, batch }: InUse): readonly Right[] {
  return [
    {
      group: RECORDS,
      resource: 'sparkdrivers',
      verbs: [...READ, 'create', 'patch', 'delete'],
      severity: 'error',
    },
    ...(batch
      ? ([
          {
            group: RECORDS,
            resource: 'sparkbatches',
            verbs: [...READ, 'create', 'patch', 'delete'],
            severity: 'error',
          },
          {
            group: '',
            resource: 'configmaps',
            verbs: ['get', 'create', 'patch', 'delete'],
            severity: 'warning',
          },
        ] as const)
      : []),
    ...(policyResource
      ? ([
          { group: RECORDS, resource: 'routingpolicies', verbs: READ, severity: 'error' },
          {
            group: RECORDS,
            resource: 'routingpolicies',
            subresource: 'status',
            verbs: ['patch'],
            severity: 'warning',
          },
        ] as const)
      : []),
    { group: 'coordination.k8s.io', resource: 'leases', verbs: ['create'], severity: 'error' },
    {
      group: 'coordination.k8s.io',
      resource: 'leases',
      name: gateway,
      verbs: ['get', 'update'],
      severity: 'error',
    },
    EVENTS,
    { group: '', resource: 'secrets', verbs: ['create'], severity: 'error' },
    { group: '', resource: 'secrets', name: `${gateway}-key`, verbs: ['get'], severity: 'error' },
  ];
}

/** In the namespaces of teams. `makes`: whether the gateway makes drivers itself. */
export function rightsForDrivers(makes: boolean): readonly Right[] {
  const made = makes ? 'error' : 'warning';
  return [
    { group: '', resource: 'pods', verbs: READ, severity: 'error' },
    ...['sparkconnects', 'sparkapplications'].map(
      (resource) =>
        ({
          group: 'sparkoperator.k8s.io',
          resource,
          verbs: [...READ, 'create', 'delete'],
          severity: made,
        }) as const,
    ),
    { group: '', resource: 'secrets', verbs: ['create'], severity: made },
    { group: '', resource: 'configmaps', verbs: ['create'], severity: made },
    {
      group: 'policy',
      resource: 'poddisruptionbudgets',
      verbs: ['list', 'watch', 'create', 'delete'],
      severity: made,
    },
    EVENTS,
    { group: '', resource: 'resourcequotas', verbs: ['list'], severity: 'warning' },
    { group: '', resource: 'events', verbs: ['list'], severity: 'warning' },
  ];
}

/** In the namespaces that batch jobs run in. */
export const rightsForBatch: readonly Right[] = [
  {
    group: 'sparkoperator.k8s.io',
    resource: 'sparkapplications',
    verbs: [...READ, 'create', 'delete'],
    severity: 'error',
  },
  {
    group: '',
    resource: 'configmaps',
    verbs: ['get', 'create', 'patch', 'delete'],
    severity: 'error',
  },
  { group: '', resource: 'pods', verbs: [...READ, 'delete'], severity: 'error' },
  { group: '', resource: 'pods', subresource: 'log', verbs: ['get'], severity: 'warning' },
  { group: '', resource: 'events', verbs: ['list'], severity: 'warning' },
];

/** In no namespace, where `admin.kubernetes_audience` is set. */
export const rightsToReview: readonly Right[] = [
  {
    group: 'authentication.k8s.io',
    resource: 'tokenreviews',
    verbs: ['create'],
    severity: 'error',
  },
  {
    group: 'authorization.k8s.io',
    resource: 'subjectaccessreviews',
    verbs: ['create'],
    severity: 'error',
  },
];

/** Whose rights are looked at; undefined: those of whoever asks. */
export interface ServiceAccount {
  readonly namespace: string;
  readonly name: string;
}

export interface RightsScope {
  readonly cluster: AnalyzedCluster;
  /** undefined: in all namespaces, or what is in none. */
  readonly namespace: string | undefined;
  readonly rights: readonly Right[];
  /** What to do where some are missing. */
  readonly remedy: string;
}

/** The API server answers each review by itself: not all at once. */
const AT_A_TIME = 8;

/** What is missing of these rights: one finding for all of them, or one for each resource. */
export async function missingRights(
  { cluster, namespace, rights, remedy }: RightsScope,
  account: ServiceAccount | undefined,
): Promise<readonly Omit<Finding, 'cluster'>[]> {
  const object = namespace === undefined ? 'all namespaces' : `Namespace ${namespace}`;
  const limit = pLimit(AT_A_TIME);
  let missing: readonly Right[];
  try {
    const reviewed = await Promise.all(
      rights.map((right) =>
        limit(async () => {
          const allowed = await Promise.all(
            right.verbs.map((verb) => isAllowed(cluster, account, namespace, right, verb)),
          );
          return { ...right, verbs: right.verbs.filter((_, at) => allowed[at] !== true) };
        }),
      ),
    );
    missing = reviewed.filter(({ verbs }) => verbs.length > 0);
  } catch (error) {
    const finding = notChecked(object, error);
    if (!hasStatus(error, 403)) return [finding];
    const self = 'ask with --self as the gateway itself, or as somebody who may create them';
    return [
      {
        ...finding,
        remedy: `Asking for the rights of others needs the right to create subjectaccessreviews: ${self}.`,
      },
    ];
  }
  const who = account ? `ServiceAccount ${account.namespace}/${account.name}` : 'This kubeconfig';
  const all =
    missing.length === rights.length &&
    missing.every(({ verbs }, at) => verbs.length === rights[at]?.verbs.length);
  if (all && rights.length > 1) {
    const message = `${who} has none of the rights that the gateway needs here.`;
    return [{ code: 'ROLE_BINDING_MISSING', severity: 'error', object, message, remedy }];
  }
  return missing.map((right) => ({
    code: 'RIGHT_MISSING',
    severity: right.severity,
    object,
    message: `${who} may not ${right.verbs.join(', ')} ${written(right)} here.`,
    remedy,
  }));
}

function written({ group, resource, subresource, name }: Right): string {
  const whole = subresource === undefined ? resource : `${resource}/${subresource}`;
  return `${whole}${group === '' ? '' : `.${group}`}${name === undefined ? '' : ` "${name}"`}`;
}

async function isAllowed(
  { api }: AnalyzedCluster,
  account: ServiceAccount | undefined,
  namespace: string | undefined,
  { group, resource, subresource, name }: Right,
  verb: string,
): Promise<boolean> {
  const kind = account ? 'SubjectAccessReview' : 'SelfSubjectAccessReview';
  const { status } = await api.request<{ readonly status?: { readonly allowed?: boolean } }>({
    method: 'POST',
    path: `/apis/authorization.k8s.io/v1/${kind.toLowerCase()}s`,
    body: {
      apiVersion: 'authorization.k8s.io/v1',
      kind,
      spec: {
        resourceAttributes: { namespace, verb, group, resource, subresource, name },
        ...(account && {
          user: `system:serviceaccount:${account.namespace}:${account.name}`,
          groups: [
            'system:serviceaccounts',
            `system:serviceaccounts:${account.namespace}`,
            'system:authenticated',
          ],
        }),
      },
    },
  });
  return status?.allowed === true;
}
