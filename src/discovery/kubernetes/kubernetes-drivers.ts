/**
 * Drivers as pods of one Kubernetes cluster.
 *
 * A pod counts as a driver if a resource that the gateway made names it (its operator writes the name
 * into the resource's status), or if the policy trusts its namespace, where drivers that others run
 * count by label. One that has a record, or counted before, goes on counting while it exists.
 */
import type { Logger } from 'pino';
import type { KubernetesApi } from '../../lib/kubernetes/api.js';
import type { DriverResource, DriverResources } from './driver-resources.js';
import { hasStatus } from '../../lib/kubernetes/http.js';
import { type GatewayKey, driverToken } from '../../lib/kubernetes/ownership.js';
import { Reflector } from '../../lib/kubernetes/reflector.js';
import {
  collectionPath,
  covers,
  scopes,
  type Scope,
  type Pod,
} from '../../lib/kubernetes/objects.js';
import type { Clock } from '../../model/clock.js';
import type {
  ClusterPlace,
  DriverRecord,
  DriverSource,
  ObservedDriver,
} from '../../model/driver.js';
import type { FleetProblem, ObjectReference, ProblemSource } from '../../model/fleet-problem.js';
import type { Leadership } from '../../model/ledger.js';
import { viewPod, type PodView } from './pod.js';

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
  /** Whether there is a record for this uid. */
  readonly isRecorded: (uid: string) => boolean;
  /** A new leader reads everything afresh before its first answer. */
  readonly leadership: Leadership;
  readonly key: GatewayKey;
  /** Absent for the gateway's own cluster where it is the only one. */
  readonly cluster?: ClusterPlace;
  readonly clock: Clock;
  readonly logger: Logger;
}

interface WatchedScope {
  readonly scope: Scope;
  readonly reflector: Reflector<PodView>;
  /** The epoch under which it was last read afresh. */
  readAt: number | undefined;
  /** Since when it cannot be kept up to date. */
  brokenSinceMs: number | undefined;
}

/** Drivers of a cluster that has been out of reach for this long take no new session. */
const DOUBT_MS = 30_000;
/** More pods than this that vanish together are confirmed by one list instead of one by one. */
const MANY = 20;

export class KubernetesDrivers implements DriverSource, ProblemSource {
  readonly #options: KubernetesDriversOptions;
  readonly #scopes: readonly WatchedScope[];
  readonly #listeners = new Set<() => void>();
  /** What was last answered, by uid. */
  #answered = new Map<string, { readonly view: PodView; readonly driver: ObservedDriver }>();
  #problems: readonly FleetProblem[] = [];
  #stopWatching: (() => void) | undefined;

  constructor(options: KubernetesDriversOptions) {
    this.#options = options;
    const { api, selectors, namespaces, port, clock, logger } = options;
    this.#scopes = selectors.flatMap((labelSelector) =>
      scopes('v1', 'pods', namespaces).map((scope) => ({
        scope,
        reflector: new Reflector<PodView>({
          api,
          path: scope.path,
          labelSelector,
          keep: (object) => viewPod(object, port),
          clock,
          logger,
          onChange: () => this.#changed(),
        }),
        readAt: undefined,
        brokenSinceMs: undefined,
      })),
    );
  }

  start(): void {
    this.#stopWatching = this.#options.resources.onChange(() => this.#changed());
    for (const { reflector } of this.#scopes) reflector.start();
  }

  /** Resolves when every part that can be read has been read once, from a start in the same turn on. */
  async read(): Promise<void> {
    await Promise.all(this.#scopes.map(({ reflector }) => reflector.refresh().catch(() => {})));
  }

  async stop(): Promise<void> {
    this.#stopWatching?.();
    await Promise.all(this.#scopes.map(({ reflector }) => reflector.stop()));
  }

  /** Never rejects for a part that cannot be read: `inDoubt` tells which. */
  async list(): Promise<readonly ObservedDriver[]> {
    await this.#readAfresh();
    const views = this.#views();
    const claims = this.#claims();
    const answer = new Map<string, { view: PodView; driver: ObservedDriver }>();
    const problems: FleetProblem[] = [];
    for (const view of views.values()) {
      const resource = claims.get(`${view.namespace}/${view.name}`);
      if (resource && (view.controller === undefined || view.controller === resource.uid)) {
        answer.set(view.uid, { view, driver: this.#driver(view, resource) });
        problems.push(...this.#troubles(view, resource));
      } else if (this.#counts(view)) {
        answer.set(view.uid, { view, driver: this.#driver(view, undefined) });
        problems.push(...this.#troubles(view, undefined));
      } else if (view.condition === 'ready') {
        problems.push({
          kind: 'pod_foreign',
          object: this.#reference(view),
          message: `Pod ${view.namespace}/${view.name} looks like a driver, but no resource of this gateway names it and its namespace is not trusted; it is left out.`,
        });
      }
    }
    await this.#confirmVanished(views, answer);
    this.#answered = answer;
    this.#problems = problems;
    return [...answer.values()].map(({ driver }) => driver);
  }

  inDoubt({ namespace, cluster }: Pick<DriverRecord, 'namespace' | 'cluster'>): boolean {
    if (cluster?.name !== this.#options.cluster?.name) return false;
    return this.#scopes.some(
      (watched) => covers(watched.scope, namespace) && !this.#isCurrent(watched),
    );
  }

  watch(listener: () => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /** Pods left out or that do not become drivers, resources of others with our labels, watches that are broken. */
  problems(): readonly FleetProblem[] {
    const where =
      this.#options.cluster === undefined ? '' : `Cluster ${this.#options.cluster.name}: `;
    const broken = this.#scopes.flatMap(({ scope, reflector }): FleetProblem[] =>
      reflector.problem === undefined
        ? []
        : [
            {
              kind: 'unreadable',
              message: `${where}${scope.path} cannot be read: ${reflector.problem}`,
            },
          ],
    );
    const { resources } = this.#options;
    if (resources.problem !== undefined) {
      const message = `${where}The resources that drivers are made as cannot be read: ${resources.problem}`;
      broken.push({ kind: 'unreadable', message });
    }
    return [...broken, ...this.#problems, ...resources.foreign()];
  }

  #changed(): void {
    const nowMs = this.#options.clock.now();
    for (const watched of this.#scopes) {
      if (watched.reflector.problem === undefined) watched.brokenSinceMs = undefined;
      else watched.brokenSinceMs ??= nowMs;
    }
    for (const listener of this.#listeners) listener();
  }

  async #readAfresh(): Promise<void> {
    const epoch = this.#options.leadership.epoch();
    if (epoch === undefined) return;
    const stale = this.#scopes.filter(({ readAt }) => readAt !== epoch);
    if (stale.length === 0) return;
    // Pods that the resources' status does not name yet are seen as drivers a moment later.
    await this.#options.resources.refreshFor(epoch).catch(() => {});
    await Promise.all(
      stale.map(async (watched) => {
        try {
          await watched.reflector.refresh();
          watched.readAt = epoch;
        } catch {
          // It stays in doubt; the reflector has logged why and goes on trying.
        }
      }),
    );
  }

  #isCurrent({ reflector, readAt }: WatchedScope): boolean {
    const epoch = this.#options.leadership.epoch();
    return reflector.problem === undefined && (epoch === undefined || readAt === epoch);
  }

  #views(): Map<string, PodView> {
    const nowMs = this.#options.clock.now();
    const views = new Map<string, PodView>();
    for (const { reflector, scope, brokenSinceMs } of this.#scopes) {
      const doubtful = brokenSinceMs !== undefined && nowMs - brokenSinceMs >= DOUBT_MS;
      for (const view of reflector.values()) {
        const reason = `${scope.path} cannot be read: ${reflector.problem}`;
        views.set(view.uid, doubtful ? asDoubtful(view, reason) : view);
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
    const { trusts, isRecorded } = this.#options;
    return this.#answered.has(uid) || trusts(namespace) || isRecorded(uid);
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
      await Promise.all(this.#scopes.map(({ reflector }) => reflector.refresh().catch(() => {})));
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
    if (view.trouble === undefined) return [];
    const own = view.trouble === 'pod_without_address' || resource === undefined;
    const object = own ? this.#reference(view) : this.#options.resources.reference(resource);
    const message = `Driver pod ${view.namespace}/${view.name} does not come up: ${view.reason}`;
    return [{ kind: view.trouble, object, message }];
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

  /** A pod whose resource is gone keeps what was known of it: it may still run for a moment. */
  #driver(view: PodView, resource: DriverResource | undefined): ObservedDriver {
    const { key, cluster } = this.#options;
    const before = this.#answered.get(view.uid)?.driver;
    const name = resource?.name ?? before?.resource;
    const variant = resource ? resource.variant : before?.variant;
    const token =
      resource?.hasToken === true ? driverToken(key, view.namespace, resource.name) : before?.token;
    return {
      uid: view.uid,
      instance: view.instance,
      ...(name === undefined ? {} : { resource: name }),
      namespace: view.namespace,
      ...(variant === undefined ? {} : { variant }),
      address: view.address,
      port: view.port,
      condition: view.condition,
      ...(view.reason === undefined ? {} : { reason: view.reason }),
      ...(token === undefined ? {} : { token }),
      ...(cluster === undefined ? {} : { cluster }),
      object: this.#reference(view),
      ...(view.node === undefined ? {} : { node: view.node }),
    };
  }
}

/** What was last known, but it takes no new session. */
function asDoubtful(view: PodView, reason: string): PodView {
  const condition = view.condition === 'ready' ? 'not_ready' : view.condition;
  return { ...view, condition, reason };
}
