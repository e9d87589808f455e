/**
 * Drivers as pods of one Kubernetes cluster.
 *
 * A pod counts as a driver if a resource that the gateway made names it (its operator writes the name
 * into the resource's status), or if the policy trusts its namespace, where drivers that others run
 * count by label. One that has a record, or counted before, goes on counting while it exists.
 */
import type { Logger } from 'pino';
import type { KubernetesApi } from '../../lib/kubernetes/kubernetes-api.js';
import type { DriverResource, DriverResources } from './driver-resources.js';
import { hasStatus } from '../../lib/kubernetes/http.js';
import { type GatewayKey, driverToken, tokenSecretName } from '../../lib/kubernetes/ownership.js';
import { isCurrent, ScopedCopies } from '../../lib/kubernetes/scoped-copies.js';
import { collectionPath, scopes, type Pod } from '../../lib/kubernetes/objects.js';
import type { Clock } from '../../model/clock.js';
import type {
  ClusterPlace,
  DriverRecord,
  DriverSource,
  ObservedDriver,
} from '../../model/driver.js';
import type { FleetProblem, ObjectReference, ProblemSource } from '../../model/fleet-problem.js';
import type { Leadership } from '../../model/ledger.js';
import { NOT_READY_YET, viewPod, type PodView } from './pod.js';
import type { PodProbes } from '../pod-probes.js';

export interface KubernetesDriversOptions {
  readonly api: Pick<KubernetesApi, 'request' | 'watch'>;
  readonly resources: DriverResources;
  /** Label selectors of drivers' pods; a pod that fits one of them is looked at. */
  readonly selectors: readonly string[];
  /** undefined: all. With a list, rights in these namespaces are enough. */
  readonly namespaces: readonly string[] | undefined;
  /** Of a pod that does not name its port `spark-connect`. */
  readonly port: number;
  /** Whether drivers that others run in this namespace count. */
  readonly trusts: (namespace: string) => boolean;
  /** The record of this uid. */
  readonly record: (uid: string) => Pick<DriverRecord, 'resource' | 'variant'> | undefined;
  /** This gateway's name: pods that another gateway made are left alone. */
  readonly gateway: string;
  /** Absent: what pods say of themselves is believed. */
  readonly probes?: Pick<PodProbes, 'observe' | 'close'>;
  /** A new leader reads everything afresh before its first answer. */
  readonly leadership: Leadership;
  readonly key: GatewayKey;
  /** Absent for the gateway's own cluster where it is the only one. */
  readonly cluster?: ClusterPlace;
  readonly clock: Clock;
  readonly logger: Logger;
}

/** Drivers of a part that has been out of reach for this long take no new session. */
const DOUBT_MS = 30_000;
/** More pods than this that vanish together are confirmed by one list instead of one by one. */
const MANY = 20;
/** A pod that is there for so long after its grace period is not ending. */
const OVERDUE_MS = 30_000;
/** What passes by itself at a start has passed after this. */
const BEGINNING_MS = 20_000;

export class KubernetesDrivers implements DriverSource, ProblemSource {
  readonly #options: KubernetesDriversOptions;
  /** One for each selector. */
  readonly #pods: readonly ScopedCopies<PodView>[];
  readonly #listeners = new Set<() => void>();
  /** What was last answered, by uid. */
  #answered = new Map<string, { readonly view: PodView; readonly driver: ObservedDriver }>();
  #problems: readonly FleetProblem[] = [];
  #stopWatching: (() => void) | undefined;

  constructor(options: KubernetesDriversOptions) {
    this.#options = options;
    const { api, selectors, namespaces, port, clock, logger } = options;
    this.#pods = selectors.map(
      (labelSelector) =>
        new ScopedCopies<PodView>({
          api,
          scopes: scopes('v1', 'pods', namespaces),
          labelSelector,
          keep: (object) => viewPod(object, port),
          clock,
          logger,
          onChange: () => this.#changed(),
        }),
    );
  }

  start(): void {
    this.#stopWatching = this.#options.resources.onChange(() => this.#changed());
    for (const copies of this.#pods) copies.start();
  }

  /** Resolves when every part was read once, or could not be, from a start in the same turn on. */
  async read(): Promise<void> {
    await Promise.all(this.#pods.map((copies) => copies.readAll()));
  }

  async stop(): Promise<void> {
    this.#stopWatching?.();
    this.#options.probes?.close();
    await Promise.all(this.#pods.map((copies) => copies.stop()));
  }

  /** Never rejects for a part that cannot be read: `inDoubt` tells which. */
  async list(): Promise<readonly ObservedDriver[]> {
    await this.#readAfresh();
    const { resources, leadership } = this.#options;
    const epoch = leadership.epoch();
    const views = this.#views();
    const claims = this.#claims();
    const answer = new Map<string, { view: PodView; driver: ObservedDriver }>();
    const problems: FleetProblem[] = [];
    for (const view of views.values()) {
      if (view.gateway !== undefined && view.gateway !== this.#options.gateway) continue;
      const resource = claims.get(`${view.namespace}/${view.name}`);
      if (resource && (view.controller === undefined || view.controller === resource.uid)) {
        answer.set(view.uid, { view, driver: this.#driver(view, resource) });
        problems.push(...this.#troubles(view, resource));
      } else if (this.#counts(view)) {
        answer.set(view.uid, { view, driver: this.#driver(view, undefined) });
        problems.push(...this.#troubles(view, undefined));
      } else if (view.condition === 'ready' && !resources.inDoubt(view.namespace, epoch)) {
        problems.push({
          kind: 'pod_foreign',
          object: this.#reference(view),
          message: `Pod ${view.namespace}/${view.name} looks like a driver, but no resource of this gateway names it and its namespace is not trusted; it is left out.`,
        });
      }
    }
    await this.#confirmVanished(views, answer);
    this.#answered = answer;
    const drivers = [...answer.values()].map(({ driver }) => driver);
    const judged = this.#options.probes?.observe(drivers) ?? drivers;
    this.#problems = [...problems, ...judged.flatMap((driver) => silence(driver, answer))];
    return judged;
  }

  inDoubt({ namespace, cluster }: Pick<DriverRecord, 'namespace' | 'cluster'>): boolean {
    if (cluster?.name !== this.#options.cluster?.name) return false;
    const epoch = this.#options.leadership.epoch();
    return this.#pods.some((copies) => copies.inDoubt(namespace, epoch));
  }

  watch(listener: () => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /** Pods left out or that do not become drivers, resources of others with our labels, watches that are broken. */
  problems(): readonly FleetProblem[] {
    const where =
      this.#options.cluster === undefined ? '' : `Cluster ${this.#options.cluster.name}: `;
    const { resources } = this.#options;
    return [
      ...this.#pods.flatMap((copies) => copies.problems(where)),
      ...resources.problems(where),
      ...this.#problems,
      ...resources.foreign(),
    ];
  }

  #changed(): void {
    for (const listener of this.#listeners) listener();
  }

  async #readAfresh(): Promise<void> {
    const epoch = this.#options.leadership.epoch();
    // Pods that the resources' status does not name yet are seen as drivers a moment later.
    await this.#options.resources.readFor(epoch);
    await Promise.all(this.#pods.map((copies) => copies.readFor(epoch)));
  }

  #views(): Map<string, PodView> {
    const nowMs = this.#options.clock.now();
    const epoch = this.#options.leadership.epoch();
    const views = new Map<string, PodView>();
    for (const copy of this.#pods.flatMap((copies) => copies.copies())) {
      const { reflector, scope, brokenSinceMs } = copy;
      const doubtful = !isCurrent(copy, epoch);
      const isOld = brokenSinceMs !== undefined && nowMs - brokenSinceMs >= DOUBT_MS;
      for (const view of reflector.values()) {
        const reason = `${scope.path} cannot be read: ${reflector.problem}`;
        // What was ready a moment ago is believed for a while, so that a blip stops nobody.
        const believed = !doubtful || (view.condition === 'ready' && !isOld);
        views.set(view.uid, believed ? view : asDoubtful(view, reason));
      }
    }
    return views;
  }

  /** Our resources by the namespace and name of the pod that they name. */
  #claims(): Map<string, DriverResource> {
    const claims = new Map<string, DriverResource>();
    for (const resource of this.#options.resources.values()) {
      const { podName, namespace } = resource;
      if (podName !== undefined) claims.set(`${namespace}/${podName}`, resource);
    }
    return claims;
  }

  #counts({ uid, namespace }: PodView): boolean {
    const { trusts, record } = this.#options;
    return this.#answered.has(uid) || trusts(namespace) || record(uid) !== undefined;
  }

  /**
   * A pod that was there and is missing now was deleted, by all that the watch tells. That ends
   * sessions for good, so the API server is asked once more.
   */
  async #confirmVanished(
    views: ReadonlyMap<string, PodView>,
    answer: Map<string, { view: PodView; driver: ObservedDriver }>,
  ): Promise<void> {
    const vanished = [...this.#answered.values()].filter(({ view }) => !views.has(view.uid));
    if (vanished.length > MANY) {
      await this.read();
      const still = this.#views();
      for (const { view, driver } of vanished) {
        const found = still.get(view.uid);
        const open = this.inDoubt(driver);
        if (found || open) answer.set(view.uid, { view: found ?? view, driver });
      }
      return;
    }
    await Promise.all(
      vanished.map(async ({ view }) => {
        const pod = await this.#read(view);
        if (pod === 'gone') return;
        const seen = pod === 'unknown' ? asDoubtful(view, 'It cannot be read now.') : pod;
        answer.set(view.uid, { view: seen, driver: this.#driver(seen, undefined) });
      }),
    );
  }

  async #read({ uid, name, namespace }: PodView): Promise<PodView | 'gone' | 'unknown'> {
    try {
      const path = `${collectionPath('v1', namespace, 'pods')}/${name}`;
      const pod = await this.#options.api.request<Pod>({ path });
      return pod.metadata.uid === uid ? viewPod(pod, this.#options.port) : 'gone';
    } catch (error) {
      return hasStatus(error, 404) ? 'gone' : 'unknown';
    }
  }

  /** Told of the resource, which people look at, and of the pod where there is none of ours. */
  #troubles(view: PodView, resource: DriverResource | undefined): FleetProblem[] {
    const pod = `Driver pod ${view.namespace}/${view.name}`;
    if (this.#isOverdue(view)) {
      const message = `${pod} was asked to end by ${new Date(view.endsAtMs ?? 0).toISOString()} and is still there; where it runs may be gone (kubectl describe pod says where). Deleting that Node, or the pod by kubectl delete --force, removes it.`;
      return [{ kind: 'driver_not_ending', object: this.#reference(view), message }];
    }
    if (view.condition === 'ready' && lacksToken(view, resource)) {
      const message = `${pod} was made without the token that it must have, so it is not used: does the operator know templates of pods?`;
      return [{ kind: 'driver_without_token', object: this.#reference(view), message }];
    }
    if (view.trouble === undefined || this.#isBeginning(view)) return [];
    const own = view.trouble === 'pod_without_address' || resource === undefined;
    const object = own ? this.#reference(view) : this.#options.resources.reference(resource);
    const message = `${pod} does not come up: ${view.reason}`;
    return [{ kind: view.trouble, object, message }];
  }

  #isOverdue({ endsAtMs, condition }: PodView): boolean {
    if (endsAtMs === undefined || condition === 'in_doubt') return false;
    return this.#options.clock.now() >= endsAtMs + OVERDUE_MS;
  }

  #isBeginning({ isPassing, createdAtMs }: PodView): boolean {
    if (isPassing !== true || createdAtMs === undefined) return false;
    return this.#options.clock.now() < createdAtMs + BEGINNING_MS;
  }

  #reference({ name, namespace, uid }: PodView): ObjectReference {
    const { cluster } = this.#options;
    return {
      apiVersion: 'v1',
      kind: 'Pod',
      name,
      namespace,
      uid,
      ...(cluster === undefined ? {} : { cluster: cluster.name }),
    };
  }

  #conditionOf(
    view: PodView,
    resource: DriverResource | undefined,
  ): Pick<ObservedDriver, 'condition' | 'reason'> {
    const { condition } = view;
    if (condition === 'ready' && lacksToken(view, resource)) {
      return { condition: 'starting', reason: 'Its pod was made without its token.' };
    }
    const reason = this.#isBeginning(view) ? NOT_READY_YET : view.reason;
    return { condition, ...(reason === undefined ? {} : { reason }) };
  }

  /** A pod whose resource is not seen keeps what was known of it, if only by its record. */
  #driver(view: PodView, resource: DriverResource | undefined): ObservedDriver {
    const { key, cluster, record } = this.#options;
    const before = this.#answered.get(view.uid)?.driver ?? record(view.uid);
    const name = resource?.name ?? before?.resource;
    const variant = resource ? resource.variant : before?.variant;
    const fenced = resource?.fenced ?? false;
    const hasToken =
      resource?.hasToken ?? (name !== undefined && view.tokenSecret === tokenSecretName(name));
    const token =
      hasToken && name !== undefined ? driverToken(key, view.namespace, name) : undefined;
    return {
      uid: view.uid,
      instance: view.instance,
      ...(name === undefined ? {} : { resource: name }),
      namespace: view.namespace,
      fenced,
      ...(variant === undefined ? {} : { variant }),
      address: view.address,
      port: view.port,
      ...this.#conditionOf(view, resource),
      ...(view.silentSinceMs === undefined ? {} : { silentSinceMs: view.silentSinceMs }),
      ...(this.#isOverdue(view) ? { overdue: true } : {}),
      ...(token === undefined ? {} : { token }),
      ...(cluster === undefined ? {} : { cluster }),
      object: this.#reference(view),
      ...(view.node === undefined ? {} : { node: view.node }),
    };
  }
}

/** A driver whose pod is ready and that does not answer. */
function silence(
  { uid, namespace, condition, reason, object, silentSinceMs }: ObservedDriver,
  answer: ReadonlyMap<string, { readonly view: PodView }>,
): FleetProblem[] {
  const view = answer.get(uid)?.view;
  if (condition !== 'not_ready' || view?.condition !== 'ready' || silentSinceMs === undefined) {
    return [];
  }
  const message = `Driver pod ${namespace}/${view.name} does not answer: ${reason}`;
  return [{ kind: 'driver_silent', ...(object ? { object } : {}), message }];
}

/** Whether anybody who reaches the driver could use it, although its template says otherwise. */
function lacksToken(view: PodView, resource: DriverResource | undefined): boolean {
  return resource?.hasToken === true && view.tokenSecret !== tokenSecretName(resource.name);
}

/** Its end, once seen, is certain; all else may have changed. */
function asDoubtful(view: PodView, reason: string): PodView {
  return view.condition === 'ended' ? view : { ...view, condition: 'in_doubt', reason };
}
