/** The parts of Kubernetes' objects that the gateway reads, as the API server sends them. */

export interface OwnerReference {
  readonly apiVersion: string;
  readonly kind: string;
  readonly name: string;
  readonly uid: string;
  readonly controller?: boolean;
  readonly blockOwnerDeletion?: boolean;
}

export interface ObjectMeta {
  readonly name: string;
  readonly namespace?: string;
  readonly uid?: string;
  readonly resourceVersion?: string;
  /** Grows with each change of `spec`, of kinds that count. */
  readonly generation?: number;
  /** RFC 3339. */
  readonly creationTimestamp?: string;
  readonly deletionTimestamp?: string;
  readonly labels?: Readonly<Record<string, string>>;
  readonly annotations?: Readonly<Record<string, string>>;
  readonly ownerReferences?: readonly OwnerReference[];
}

export interface KubernetesObject {
  readonly apiVersion?: string;
  readonly kind?: string;
  readonly metadata: ObjectMeta;
}

export interface KubernetesList<T extends KubernetesObject> {
  readonly metadata: {
    readonly resourceVersion?: string;
    readonly continue?: string;
    readonly remainingItemCount?: number;
  };
  readonly items: readonly T[];
}

export interface ContainerState {
  readonly waiting?: { readonly reason?: string; readonly message?: string };
  readonly running?: { readonly startedAt?: string };
  readonly terminated?: {
    /** RFC 3339. */
    readonly startedAt?: string;
    readonly finishedAt?: string;
    readonly exitCode?: number;
    readonly reason?: string;
    readonly message?: string;
  };
}

export interface ContainerStatus {
  readonly name: string;
  readonly containerID?: string;
  readonly ready?: boolean;
  readonly restartCount?: number;
  readonly state?: ContainerState;
}

export interface PodCondition {
  readonly type: string;
  readonly status: string;
  /** RFC 3339. */
  readonly lastTransitionTime?: string;
  readonly reason?: string;
  readonly message?: string;
}

export interface Pod extends KubernetesObject {
  readonly spec?: {
    readonly containers?: readonly {
      readonly name: string;
      readonly ports?: readonly { readonly name?: string; readonly containerPort?: number }[];
      readonly env?: readonly {
        readonly name: string;
        readonly valueFrom?: { readonly secretKeyRef?: { readonly name?: string } };
      }[];
    }[];
    readonly restartPolicy?: string;
    readonly nodeName?: string;
  };
  readonly status?: {
    readonly phase?: string;
    readonly reason?: string;
    readonly message?: string;
    readonly podIP?: string;
    readonly conditions?: readonly PodCondition[];
    readonly containerStatuses?: readonly ContainerStatus[];
    readonly initContainerStatuses?: readonly ContainerStatus[];
  };
}

// Paths of collections: of the whole cluster, or of some namespaces where that is all one may read.

export interface Scope {
  readonly path: string;
  /** undefined: every namespace. */
  readonly namespace: string | undefined;
}

/** `groupVersion` as in `v1` or `apps/v1`; `namespaces` undefined: all. */
export function scopes(
  groupVersion: string,
  plural: string,
  namespaces: readonly string[] | undefined,
): Scope[] {
  const base = groupVersion.includes('/') ? `/apis/${groupVersion}` : `/api/${groupVersion}`;
  if (!namespaces) return [{ path: `${base}/${plural}`, namespace: undefined }];
  return namespaces.map((namespace) => ({
    path: collectionPath(groupVersion, namespace, plural),
    namespace,
  }));
}

export function collectionPath(groupVersion: string, namespace: string, plural: string): string {
  const base = groupVersion.includes('/') ? `/apis/${groupVersion}` : `/api/${groupVersion}`;
  return `${base}/namespaces/${namespace}/${plural}`;
}

export function covers(scope: Scope, namespace: string): boolean {
  return scope.namespace === undefined || scope.namespace === namespace;
}
