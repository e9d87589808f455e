/** The operator's custom resources that this gateway made, watched for the factory and for discovery. */
import type { Logger } from 'pino';
import type { Clock } from '../../model/clock.js';
import type { FleetProblem, ObjectReference } from '../../model/fleet-problem.js';
import { tellingLine } from '../../model/telling-line.js';
import type { KubernetesApi } from '../../lib/kubernetes/kubernetes-api.js';
import {
  type GatewayKey,
  FENCE_ANNOTATION,
  isOurs,
  ownershipSelector,
  TEMPLATE_ANNOTATION,
  TOKEN_ANNOTATION,
  VARIANT_ANNOTATION,
} from '../../lib/kubernetes/ownership.js';
import { ScopedCopies } from '../../lib/kubernetes/scoped-copies.js';
import { scopes, type KubernetesObject } from '../../lib/kubernetes/objects.js';

export type DriverKind = 'SparkConnect' | 'SparkApplication';

/** https://github.com/kubeflow/spark-operator, `api/`. `podLabels`: what the operator puts on the driver's pod. */
export const driverKinds = {
  SparkConnect: {
    groupVersion: 'sparkoperator.k8s.io/v1alpha1',
    plural: 'sparkconnects',
    podLabels: (name: string) => ({
      'sparkoperator.k8s.io/connect-name': name,
      'spark-role': 'connect-server',
    }),
  },
  SparkApplication: {
    groupVersion: 'sparkoperator.k8s.io/v1beta2',
    plural: 'sparkapplications',
    podLabels: (name: string) => ({
      'sparkoperator.k8s.io/app-name': name,
      'spark-role': 'driver',
    }),
  },
} as const;

export interface DriverResource {
  readonly kind: DriverKind;
  readonly name: string;
  readonly namespace: string;
  readonly uid: string;
  readonly createdAtMs: number;
  readonly deleting: boolean;
  /** The pod that the operator named as its driver. */
  readonly podName: string | undefined;
  /** As the operator reports it; empty until it does. */
  readonly state: string;
  readonly message: string | undefined;
  /** Hash of the template that it was made from. */
  readonly template: string | undefined;
  readonly variant: string | undefined;
  readonly hasToken: boolean;
  readonly fenced: boolean;
  /** Whether its pod mounts the ConfigMap of a fence. */
  readonly bringsFence: boolean;
}

export interface DriverResourcesOptions {
  readonly api: Pick<KubernetesApi, 'request' | 'watch'>;
  /** undefined: all. */
  readonly namespaces: readonly string[] | undefined;
  readonly kinds: readonly DriverKind[];
  /** Where several clusters are in use: the one these are in. */
  readonly cluster?: string;
  /** Tells gateways apart that share a cluster. */
  readonly gateway: string;
  readonly key: GatewayKey;
  readonly clock: Clock;
  readonly logger: Logger;
}

/** What the watch does not show after this long was deleted by someone else before it could. */
const UNSEEN_MS = 30_000;

type Kept = DriverResource | { readonly foreign: FleetProblem };

export class DriverResources {
  /** One for each kind. */
  readonly #kinds: readonly ScopedCopies<Kept>[];
  readonly #listeners = new Set<() => void>();
  /** Made a moment ago and not seen in the watch yet, by uid. */
  readonly #made = new Map<string, { readonly resource: DriverResource; readonly atMs: number }>();
  readonly #options: DriverResourcesOptions;
  /** The watched ones; made when it is first asked for after a change. */
  #byName: ReadonlyMap<string, DriverResource> | undefined;

  constructor(options: DriverResourcesOptions) {
    const { api, namespaces, kinds, gateway, clock, logger } = options;
    this.#options = options;
    this.#kinds = kinds.map(
      (kind) =>
        new ScopedCopies<Kept>({
          api,
          scopes: scopes(driverKinds[kind].groupVersion, driverKinds[kind].plural, namespaces),
          labelSelector: ownershipSelector(gateway),
          keep: (object) => this.#keep(kind, object),
          optional: true,
          clock,
          logger,
          onChange: () => this.#changed(),
        }),
    );
  }

  /** Resolves when every scope was read once, or could not be: then its reflector goes on trying. */
  async start(): Promise<void> {
    for (const copies of this.#kinds) copies.start();
    await this.refresh();
  }

  async stop(): Promise<void> {
    await Promise.all(this.#kinds.map((copies) => copies.stop()));
  }

  /** Reads everything again, consistently, as far as it can be read. */
  async refresh(): Promise<void> {
    await Promise.all(this.#kinds.map((copies) => copies.readAll()));
  }

  /** Reads everything again unless that was done under this epoch. */
  async readFor(epoch: number | undefined): Promise<void> {
    await Promise.all(this.#kinds.map((copies) => copies.readFor(epoch)));
  }

  /** Whether there may be other resources in this namespace than are known. */
  inDoubt(namespace: string, epoch: number | undefined): boolean {
    return this.#kinds.some((copies) => copies.inDoubt(namespace, epoch));
  }

  *values(): Generator<DriverResource, void> {
    yield* this.#watched();
    yield* this.#unseen();
  }

  find(name: string, namespace: string): DriverResource | undefined {
    this.#byName ??= new Map([...this.#watched()].map((found) => [nameOf(found), found]));
    const watched = this.#byName.get(nameOf({ name, namespace }));
    if (watched) return watched;
    for (const made of this.#unseen()) {
      if (made.name === name && made.namespace === namespace) return made;
    }
    return undefined;
  }

  /** What cannot be read. */
  problems(where: string): FleetProblem[] {
    return this.#kinds.flatMap((copies) => copies.problems(where));
  }

  /** Resources that carry our labels and that we did not make. */
  foreign(): FleetProblem[] {
    const found: FleetProblem[] = [];
    for (const copies of this.#kinds) {
      for (const kept of copies.values()) if ('foreign' in kept) found.push(kept.foreign);
    }
    return found;
  }

  /** What the factory has just made: known at once, whenever the watch shows it. */
  made(kind: DriverKind, object: KubernetesObject): void {
    const kept = this.#keep(kind, object);
    if ('foreign' in kept || this.#isWatched(kept.uid)) return;
    this.#made.set(kept.uid, { resource: kept, atMs: this.#options.clock.now() });
    this.#changed();
  }

  /** What the factory has just deleted and the API server says is no more. */
  unmade(uid: string): void {
    if (this.#made.delete(uid)) this.#changed();
  }

  reference({
    kind,
    name,
    namespace,
    uid,
  }: Pick<DriverResource, 'kind' | 'name' | 'namespace' | 'uid'>): ObjectReference {
    const { cluster } = this.#options;
    return {
      apiVersion: driverKinds[kind].groupVersion,
      kind,
      name,
      namespace,
      uid,
      ...(cluster === undefined ? {} : { cluster }),
    };
  }

  onChange(listener: () => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  *#watched(): Generator<DriverResource, void> {
    for (const copies of this.#kinds) {
      for (const kept of copies.values()) if (!('foreign' in kept)) yield kept;
    }
  }

  *#unseen(): Generator<DriverResource, void> {
    const nowMs = this.#options.clock.now();
    for (const { resource, atMs } of this.#made.values()) {
      if (nowMs - atMs < UNSEEN_MS) yield resource;
    }
  }

  #isWatched(uid: string): boolean {
    return this.#kinds.some((copies) => copies.has(uid));
  }

  #changed(): void {
    this.#byName = undefined;
    const nowMs = this.#options.clock.now();
    for (const [uid, { atMs }] of this.#made) {
      if (this.#isWatched(uid) || nowMs - atMs >= UNSEEN_MS) this.#made.delete(uid);
    }
    for (const listener of this.#listeners) listener();
  }

  #keep(kind: DriverKind, object: KubernetesObject): Kept {
    const { key, logger } = this.#options;
    const { name, namespace = '', uid = '', creationTimestamp = '' } = object.metadata;
    if (!isOurs(key, kind, object)) {
      const message = `${kind} ${namespace}/${name} carries this gateway's labels, but this gateway did not make it; it is left alone.`;
      logger.warn(message);
      return {
        foreign: {
          kind: 'resource_foreign',
          object: this.reference({ kind, name, namespace, uid }),
          message,
        },
      };
    }
    return {
      kind,
      name,
      namespace,
      uid,
      createdAtMs: Date.parse(creationTimestamp) || this.#options.clock.now(),
      deleting: object.metadata.deletionTimestamp !== undefined,
      template: object.metadata.annotations?.[TEMPLATE_ANNOTATION],
      variant: object.metadata.annotations?.[VARIANT_ANNOTATION],
      hasToken: object.metadata.annotations?.[TOKEN_ANNOTATION] !== undefined,
      fenced: object.metadata.annotations?.[FENCE_ANNOTATION] !== undefined,
      bringsFence: object.metadata.annotations?.[FENCE_ANNOTATION] === 'config_map',
      ...statusOf(kind, object),
    };
  }
}

function nameOf({ name, namespace }: Pick<DriverResource, 'name' | 'namespace'>): string {
  return `${namespace}/${name}`;
}

interface SparkConnectStatus {
  readonly state?: string;
  readonly server?: { readonly podName?: string };
  readonly conditions?: readonly { readonly status: string; readonly message?: string }[];
}

interface SparkApplicationStatus {
  readonly applicationState?: { readonly state?: string; readonly errorMessage?: string };
  readonly driverInfo?: { readonly podName?: string };
}

function statusOf(kind: DriverKind, object: KubernetesObject) {
  const none = { podName: undefined, state: '', message: undefined };
  if (!('status' in object) || typeof object.status !== 'object' || !object.status) return none;
  if (kind === 'SparkConnect') {
    const { state = '', server, conditions }: SparkConnectStatus = object.status;
    const failed = conditions?.find(({ status }) => status === 'False');
    return { podName: server?.podName || undefined, state, message: messageOf(failed?.message) };
  }
  const { applicationState, driverInfo }: SparkApplicationStatus = object.status;
  return {
    podName: driverInfo?.podName || undefined,
    state: applicationState?.state ?? '',
    message: messageOf(applicationState?.errorMessage),
  };
}

/** An operator puts the whole output of spark-submit into it. */
function messageOf(text: string | undefined): string | undefined {
  return text ? tellingLine(text) : undefined;
}
