/** The policy in its file or its resource: its mistakes, and what is probably one. */
import { collectionPath, type KubernetesObject } from '../../lib/kubernetes/objects.js';
import { hasStatus } from '../../lib/kubernetes/http.js';
import { GatewayError } from '../../model/errors.js';
import { issuerNote } from '../../model/issuer-note.js';
import type { Policy } from '../../model/policy.js';
import { compilePolicy, type PolicyOptions } from '../../policy/compile.js';
import {
  compileSpec,
  KIND,
  PLURAL,
  RESOURCE_API_VERSION,
} from '../../policy/sources/policy-resource-schema.js';
import { readNamedText } from '../../lib/files/files.js';
import type { AnalyzedCluster } from '../command.js';
import { type Finding, notChecked } from './finding.js';

export type PolicyPlace =
  | { readonly file: string }
  | { readonly cluster: AnalyzedCluster; readonly namespace: string; readonly name: string };

export interface AnalyzedPolicy {
  /** undefined: it has mistakes, or cannot be read. */
  readonly policy: Policy | undefined;
  readonly findings: readonly Omit<Finding, 'cluster'>[];
}

/** `namespaces`: those that the settings name; undefined: all. */
export async function analyzePolicy(
  place: PolicyPlace,
  options: PolicyOptions,
  namespaces: readonly string[] | undefined,
): Promise<AnalyzedPolicy> {
  const object = 'file' in place ? place.file : `${KIND} ${place.namespace}/${place.name}`;
  try {
    const policy =
      'file' in place ? await ofFile(place.file, options) : await ofResource(place, options);
    return { policy, findings: notes(policy, object, namespaces) };
  } catch (error) {
    if (!(error instanceof GatewayError)) {
      if (hasStatus(error, 404)) return { policy: undefined, findings: [missing(object)] };
      return { policy: undefined, findings: [notChecked(object, error)] };
    }
    const findings = error.message.split('\n').map((message) => ({
      code: 'POLICY_INVALID' as const,
      severity: 'error' as const,
      object,
      message,
      remedy: 'Correct it; "spark-gateway policy validate" says whether it is good then.',
    }));
    return { policy: undefined, findings };
  }
}

async function ofFile(file: string, options: PolicyOptions): Promise<Policy> {
  return compilePolicy(await readNamedText(file, 'POLICY_INVALID', 'the policy'), file, options);
}

async function ofResource(
  { cluster, namespace, name }: Exclude<PolicyPlace, { readonly file: string }>,
  options: PolicyOptions,
): Promise<Policy> {
  const path = `${collectionPath(RESOURCE_API_VERSION, namespace, PLURAL)}/${name}`;
  const { spec } = await cluster.api.request<KubernetesObject & { readonly spec?: unknown }>({
    path,
  });
  return compileSpec(typeof spec === 'object' && spec ? spec : {}, options).policy;
}

function missing(object: string): Omit<Finding, 'cluster'> {
  return {
    code: 'POLICY_MISSING',
    severity: 'error',
    object,
    message: 'It does not exist, and without a policy nobody is served.',
    remedy: 'Apply it (docs/policy.md), or correct policy_resource in the settings.',
  };
}

function notes(
  policy: Policy,
  object: string,
  namespaces: readonly string[] | undefined,
): readonly Omit<Finding, 'cluster'>[] {
  const ofIssuers = policy.issuers.flatMap(({ issuer }) => {
    const message = issuerNote(issuer);
    return message === undefined
      ? []
      : [{ message: `${message}.`, remedy: 'Write the issuer as its tokens have it in "iss".' }];
  });
  const unseen = policy.warmNamespaces.filter(
    (namespace) => namespaces && !namespaces.includes(namespace),
  );
  const ofNamespaces = unseen.map((namespace) => ({
    message: `It keeps drivers warm in ${namespace}, where the gateway neither looks for drivers nor makes any.`,
    remedy: `Add ${namespace} to drivers.kubernetes.namespaces, or take its pool out of the policy.`,
  }));
  return [...ofIssuers, ...ofNamespaces].map((note) => ({
    code: 'POLICY_NOTE',
    severity: 'warning',
    object,
    ...note,
  }));
}
