/** What belongs to a driver beside its resource: the Secret with its token, the ConfigMap with its fence. */
import type { KubernetesApi } from '../../lib/kubernetes/kubernetes-api.js';
import { driverKinds, type DriverKind } from './driver-resources.js';
import { hasStatus } from '../../lib/kubernetes/http.js';
import {
  type GatewayKey,
  driverToken,
  ownershipLabels,
  tokenSecretName,
} from '../../lib/kubernetes/ownership.js';
import { collectionPath } from '../../lib/kubernetes/objects.js';
import { FENCE_FILE, fenceConfigMapName } from './template.js';

/** The resource that the parts are collected together with. */
export interface PartsOwner {
  readonly kind: DriverKind;
  readonly name: string;
  readonly namespace: string;
  readonly uid: string;
  /** Whether its driver asks for a token. */
  readonly hasToken: boolean;
  /** Whether its pod mounts a fence. */
  readonly bringsFence: boolean;
}

export interface PartsOptions {
  readonly api: Pick<KubernetesApi, 'request'>;
  readonly gateway: string;
  readonly key: GatewayKey;
  /** The jar of the driver fence. */
  readonly fence: Buffer;
}

interface Part {
  readonly metadata: { readonly name: string };
  readonly [field: string]: unknown;
}

/** Makes those that are missing; with them the driver can start. */
export async function makeParts(owner: PartsOwner, options: PartsOptions): Promise<void> {
  const { name, namespace, hasToken, bringsFence } = owner;
  if (bringsFence) {
    await makePart('v1', 'configmaps', owner, options, {
      apiVersion: 'v1',
      kind: 'ConfigMap',
      metadata: { name: fenceConfigMapName(name) },
      immutable: true,
      binaryData: { [FENCE_FILE]: options.fence.toString('base64') },
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
