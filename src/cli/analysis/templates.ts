/** What the API server makes of drivers made from the templates, without making any: a server-side dry run. */
import { driverKinds } from '../../discovery/kubernetes/driver-resources.js';
import { sparkApplication, sparkConnect } from '../../discovery/kubernetes/spark-objects.js';
import {
  type DriverRequest,
  type DriverTemplate,
  templateHash,
} from '../../discovery/kubernetes/template.js';
import { KubernetesError } from '../../lib/kubernetes/http.js';
import { collectionPath } from '../../lib/kubernetes/objects.js';
import { ownershipLabels, TEMPLATE_ANNOTATION } from '../../lib/kubernetes/ownership.js';
import type { Policy } from '../../model/policy.js';
import type { AnalyzedCluster } from '../command.js';
import type { NeededResource } from './definitions.js';
import { type Finding, notChecked } from './finding.js';

export interface TrialOptions {
  readonly template: (namespace: string, variant?: string) => DriverTemplate | undefined;
  /** undefined: nobody knows which. */
  readonly policy: Policy | undefined;
  readonly gateway: string;
  readonly maxMessageBytes: number;
}

/** In one namespace: its pool, and the canaries that the policy has there. */
export async function tryTemplates(
  cluster: AnalyzedCluster,
  namespace: string,
  options: TrialOptions,
): Promise<readonly Omit<Finding, 'cluster'>[]> {
  const { template, policy } = options;
  const findings = await Promise.all(
    variantsIn(namespace, policy).map(async (variant) => {
      const found = template(namespace, variant);
      return found
        ? tryOne(cluster, namespace, variant, found, options)
        : [lacking(namespace, variant)];
    }),
  );
  return findings.flat();
}

/** Of the resources that drivers in these namespaces are made as. */
export function definitionsForDrivers(
  namespaces: readonly string[],
  { template, policy }: Pick<TrialOptions, 'template' | 'policy'>,
): readonly NeededResource[] {
  const kinds = namespaces.flatMap((namespace) =>
    variantsIn(namespace, policy).flatMap((variant) => template(namespace, variant)?.kind ?? []),
  );
  return [...new Set(kinds)].map((kind) => {
    const { groupVersion, plural } = driverKinds[kind];
    const [group = '', version = ''] = groupVersion.split('/');
    const remedy = `Install the Spark operator in a release that has ${kind} ${version}, with its definitions.`;
    return { group, version, plural, remedy };
  });
}

/** undefined: the pool itself; else its canaries. */
function variantsIn(
  namespace: string,
  policy: Policy | undefined,
): readonly (string | undefined)[] {
  const canaries = policy?.pool(namespace)?.canaries ?? [];
  return [undefined, ...new Set(canaries.map(({ variant }) => variant))];
}

function lacking(namespace: string, variant: string | undefined): Omit<Finding, 'cluster'> {
  const named = variant === undefined ? 'a template' : `a template with the name ${variant}`;
  return {
    code: 'TEMPLATE_MISSING',
    severity: variant === undefined ? 'warning' : 'error',
    object: `Namespace ${namespace}`,
    message:
      variant === undefined
        ? 'No driver template is for this namespace: the gateway makes no drivers there.'
        : `The policy sends new sessions to the canary ${variant}, for which there is no template here.`,
    remedy: `Add ${named} to the driver templates, with "namespaces" that fit ${namespace}.`,
  };
}

async function tryOne(
  { api }: AnalyzedCluster,
  namespace: string,
  variant: string | undefined,
  template: DriverTemplate,
  { policy, gateway, maxMessageBytes }: TrialOptions,
): Promise<readonly Omit<Finding, 'cluster'>[]> {
  const { kind } = template;
  const named = variant === undefined ? '' : ` named ${variant}`;
  const object = `${kind} template${named} in Namespace ${namespace}`;
  const request: DriverRequest = {
    name: 'spark-gateway-analyze',
    namespace,
    ownershipLabels: ownershipLabels(gateway),
    annotations: { [TEMPLATE_ANNOTATION]: templateHash(template) },
    maxMessageBytes,
    podLabels: { ...policy?.parseNamespace?.(namespace) },
  };
  const { groupVersion, plural } = driverKinds[kind];
  try {
    await api.request({
      method: 'POST',
      path: collectionPath(groupVersion, namespace, plural),
      query: { dryRun: 'All' },
      body:
        kind === 'SparkConnect'
          ? sparkConnect(template, request)
          : sparkApplication(template, request),
    });
    return [];
  } catch (error) {
    return [refused(object, error)];
  }
}

/** A webhook that has effects beyond its answer is not called in a dry run. */
const NO_DRY_RUN = /does not support dry run/i;

function refused(object: string, error: unknown): Omit<Finding, 'cluster'> {
  if (!(error instanceof KubernetesError) || error.verdict !== 'refused' || error.status === 401) {
    return notChecked(object, error);
  }
  const { message, reason, status } = error;
  if (NO_DRY_RUN.test(message)) {
    const remedy =
      'Declare "sideEffects: None" in the webhook, or try the template in a test cluster.';
    return { code: 'CHECK_NOT_POSSIBLE', severity: 'warning', object, message, remedy };
  }
  // RBAC says it so; a quota and other admission are 403, too.
  if (status === 403 && /cannot create resource/.test(message)) return notChecked(object, error);
  return {
    code: 'TEMPLATE_REFUSED',
    severity: 'error',
    object,
    message: `The API server refuses what the template makes: ${message}`,
    remedy:
      reason === 'NotFound'
        ? 'Install the Spark operator with its definitions, or correct "kind" in the driver templates.'
        : 'Correct the driver template, or the admission rule that refuses it.',
  };
}
