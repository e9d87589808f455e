/** Whether a cluster serves the custom resources that the gateway works with, in the version that it speaks. */
import { hasStatus } from '../../lib/kubernetes/http.js';
import type { AnalyzedCluster } from '../command.js';
import { type Finding, notChecked } from './finding.js';
import type { InUse } from './rights.js';

export interface NeededResource {
  readonly group: string;
  readonly version: string;
  readonly plural: string;
  readonly remedy: string;
}

/** In the cluster that keeps the records. */
export function definitionsAtHome({ policyResource, batch }: InUse): readonly NeededResource[] {
  const plurals = [
    'sparkdrivers',
    ...(policyResource ? ['routingpolicies'] : []),
    ...(batch ? ['sparkbatches'] : []),
  ];
  return plurals.map((plural) => ({
    group: 'spark-gateway.io',
    version: 'v1alpha1',
    plural,
    remedy: `Apply k8s/crd/${plural}.yaml of this release.`,
  }));
}

/** The API's own discovery, which everybody who is known to it may read: https://kubernetes.io/docs/concepts/overview/kubernetes-api/#discovery-api */
export async function missingDefinitions(
  { api }: AnalyzedCluster,
  needed: readonly NeededResource[],
): Promise<readonly Omit<Finding, 'cluster'>[]> {
  const served = async (group: string, version: string): Promise<readonly string[]> => {
    const list = await api
      .request<{ readonly resources?: readonly { readonly name: string }[] }>({
        path: `/apis/${group}/${version}`,
      })
      .catch(nothing);
    return list?.resources?.map(({ name }) => name) ?? [];
  };
  const findings = needed.map(async ({ group, version, plural, remedy }) => {
    const object = `CustomResourceDefinition ${plural}.${group}`;
    try {
      if ((await served(group, version)).includes(plural)) return [];
      const about = await api
        .request<{ readonly versions?: readonly { readonly version: string }[] }>({
          path: `/apis/${group}`,
        })
        .catch(nothing);
      const versions: string[] = [];
      for (const other of about?.versions ?? []) {
        if ((await served(group, other.version)).includes(plural)) versions.push(other.version);
      }
      const missing = versions.length === 0;
      const finding: Omit<Finding, 'cluster'> = {
        code: missing ? 'CRD_MISSING' : 'CRD_VERSION_NOT_SERVED',
        severity: 'error',
        object,
        message: missing
          ? 'The API server does not have it.'
          : `The API server serves ${versions.join(', ')}, and the gateway speaks ${version}.`,
        remedy,
      };
      return [finding];
    } catch (error) {
      return [notChecked(object, error)];
    }
  });
  return (await Promise.all(findings)).flat();
}

function nothing(error: unknown): undefined {
  if (!hasStatus(error, 404)) throw error;
}
