/** What belongs to a driver beside its resource: the Secret with its token and its disruption budget. */
import type { KubernetesApi } from '../../kubernetes/api.js';
import { driverKinds, type DriverKind } from '../../kubernetes/driver-resources.js';
import { hasStatus } from '../../kubernetes/error.js';
import type { GatewayKey } from '../../kubernetes/gateway-key.js';
import { driverToken, ownershipLabels } from '../../kubernetes/ownership.js';
import { collectionPath } from '../../kubernetes/scope.js';
import { tokenSecretName } from './template.js';

/** The resource that the parts are collected together with. */
export interface PartsOwner {
  readonly kind: DriverKind;
  readonly name: string;
  readonly namespace: string;
  readonly uid: string;
  /** Whether its driver asks for a token. */
  readonly hasToken: boolean;
}

export interface PartsOptions {
  readonly api: Pick<KubernetesApi, 'request'>;
  readonly gateway: string;
  readonly key: GatewayKey;
}

interface Part {
  readonly metadata: { readonly name: string };
  readonly [field: string]: unknown;
}

/** Makes those that are missing; the Secret last, because with it the driver can start. */
export async function makeParts(
  owner: PartsOwner,
  disruptionBudget: boolean,
  options: PartsOptions,
): Promise<void> {
  const { kind, name, namespace, hasToken } = owner;
  if (kind === 'SparkConnect' && disruptionBudget) {
    await makePart('policy/v1', 'poddisruptionbudgets', owner, options, {
      apiVersion: 'policy/v1',
      kind: 'PodDisruptionBudget',
      metadata: { name },
      spec: {
        maxUnavailable: 0,
        selector: {
          matchLabels: {
            'sparkoperator.k8s.io/connect-name': name,
            'spark-role': 'connect-server',
          },
        },
      },
    });
  }
  if (hasToken) {
    const token = Buffer.from(driverToken(options.key, namespace, name)).toString('base64');
    await makePart('v1', 'secrets', owner, options, {
      apiVersion: 'v1',
      kind: 'Secret',
      metadata: { name: tokenSecretName(name) },
      type: 'Opaque',
      data: { token },
    });
  }
}

async function makePart(
  groupVersion: string,
  plural: string,
  { kind, name, namespace, uid }: PartsOwner,
  { api, gateway }: PartsOptions,
  part: Part,
): Promise<void> {
  const apiVersion = driverKinds[kind].groupVersion;
  const body = {
    ...part,
    metadata: {
      ...part.metadata,
      labels: ownershipLabels(gateway),
      ownerReferences: [{ apiVersion, kind, name, uid, controller: false }],
    },
  };
  try {
    await api.request({
      method: 'POST',
      path: collectionPath(groupVersion, namespace, plural),
      body,
    });
  } catch (error) {
    if (!hasStatus(error, 409)) throw error;
  }
}
