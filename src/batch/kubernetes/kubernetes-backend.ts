/** Jobs as SparkApplications of one cluster. */
import type { Logger } from 'pino';
import type { KubernetesApi } from '../../lib/kubernetes/kubernetes-api.js';
import { hasStatus } from '../../lib/kubernetes/http.js';
import {
  collectionPath,
  covers,
  type KubernetesList,
  type KubernetesObject,
  scopes,
} from '../../lib/kubernetes/objects.js';
import { type Change } from '../../lib/kubernetes/reflector.js';
import { ScopedCopies } from '../../lib/kubernetes/scoped-copies.js';
import type { Clock } from '../../model/clock.js';
import { GatewayError } from '../../model/errors.js';
import type { FleetProblem, ProblemSource } from '../../model/fleet-problem.js';
import type { Leadership } from '../../model/ledger.js';
import type {
  ApplicationStatus,
  BackendLogLine,
  BatchBackend,
  JobToRun,
  LogRequest,
} from '../backend.js';
import {
  type ApplicationView,
  type JobPodView,
  statusOf,
  viewApplication,
  viewJobPod,
} from './application-view.js';
import { asking } from './kubernetes-errors.js';
import { driverLog } from './driver-log.js';
import { configMapName, isOwnJobObject, jobSelector, jobsSelector } from './job-names.js';
import { JobMaker } from './job-maker.js';
import { PendingReasons } from './pending-reasons.js';
import {
  type ApplicationSettings,
  SPARK_API,
  SPARK_APPLICATION,
  uiUrlOf,
} from './spark-application.js';

export interface KubernetesBackendOptions {
  readonly name: string;
  readonly api: Pick<KubernetesApi, 'request' | 'watch' | 'lines'>;
  /** undefined: all. */
  readonly namespaces: readonly string[] | undefined;
  readonly settings: ApplicationSettings;
  readonly leadership: Leadership;
  readonly clock: Clock;
  readonly logger: Logger;
}

/** What is seen of one job. */
interface Seen {
  application: ApplicationView | undefined;
  readonly pods: Map<string, JobPodView>;
}

const PLURAL = 'sparkapplications';

export class KubernetesBatchBackend implements BatchBackend, ProblemSource {
  readonly name: string;
  readonly #o: KubernetesBackendOptions;
  readonly #applications: ScopedCopies<ApplicationView>;
  readonly #pods: ScopedCopies<JobPodView>;
  readonly #seen = new Map<string, Seen>();
  readonly #listeners = new Set<(namespace: string, id: string) => void>();
  readonly #maker: JobMaker;
  readonly #pending: PendingReasons;
  /** The epoch under which all was asked for afresh. */
  #readFor: number | undefined;

  constructor(options: KubernetesBackendOptions) {
    const { api, namespaces, settings, clock, logger } = options;
    this.name = options.name;
    this.#o = options;
    this.#maker = new JobMaker({ api, settings });
    this.#pending = new PendingReasons(api, clock, (namespace, id) => this.#tell(namespace, id));
    const { gateway, key } = settings;
    const common = { api, labelSelector: jobsSelector(gateway), clock, logger };
    this.#applications = new ScopedCopies<ApplicationView>({
      ...common,
      scopes: scopes(SPARK_API, PLURAL, namespaces),
      keep: (object) => viewApplication(object, isOwnJobObject(key, SPARK_APPLICATION, object)),
      optional: true,
      onChange: (change) => this.#applicationChanged(change),
    });
    this.#pods = new ScopedCopies<JobPodView>({
      ...common,
      scopes: scopes('v1', 'pods', namespaces),
      keep: viewJobPod,
      onChange: (change) => this.#podChanged(change),
    });
  }

  start(): void {
    this.#applications.start();
    this.#pods.start();
  }

  async close(): Promise<void> {
    await Promise.all([this.#applications.stop(), this.#pods.stop()]);
  }

  available(namespace: string): boolean {
    return this.#covers(namespace) && !this.#inDoubt(namespace);
  }

  async create(job: JobToRun): Promise<void> {
    if (!this.#covers(job.namespace)) {
      throw new GatewayError(
        'BATCH_REFUSED',
        `No job may run in namespace ${job.namespace}: it is none of batch.kubernetes.namespaces.`,
      );
    }
    await this.#maker.create(job);
  }

  status(namespace: string, id: string): ApplicationStatus | undefined {
    if (this.#inDoubt(namespace)) {
      throw new GatewayError(
        'CONTROL_PLANE_UNAVAILABLE',
        `What runs in namespace ${namespace} of cluster ${this.name} cannot be told now.`,
      );
    }
    const seen = this.#seen.get(keyOf(namespace, id));
    return seen && this.#status(namespace, id, seen);
  }

  *all(): Generator<ApplicationStatus, void> {
    for (const [key, seen] of this.#seen) {
      const [namespace = '', id = ''] = key.split('/');
      const status = this.#status(namespace, id, seen);
      if (status) yield status;
    }
  }

  onChange(listener: (namespace: string, id: string) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  async delete(namespace: string, id: string): Promise<void> {
    await asking(async () => {
      await this.#deleteOwn(pathOf(SPARK_API, namespace, PLURAL, id), SPARK_APPLICATION);
      const { items } = await this.#podsNow(namespace, id);
      const there = items.filter(({ metadata }) => metadata.deletionTimestamp === undefined);
      await Promise.all(
        there.map(({ metadata: { name, uid } }) =>
          this.#deleteAt(pathOf('v1', namespace, 'pods', name), uid),
        ),
      );
      const configMap = pathOf('v1', namespace, 'configmaps', configMapName(id));
      await this.#deleteOwn(configMap, 'ConfigMap');
    });
  }

  remains(namespace: string, id: string): Promise<boolean> {
    return asking(async () => {
      const application = await this.#read(pathOf(SPARK_API, namespace, PLURAL, id));
      if (application && isOwnJobObject(this.#o.settings.key, SPARK_APPLICATION, application)) {
        return true;
      }
      return (await this.#podsNow(namespace, id)).items.length > 0;
    });
  }

  async *logs(
    namespace: string,
    id: string,
    request: LogRequest,
  ): AsyncGenerator<BackendLogLine, void> {
    const driver = () => driverOf(this.#seen.get(keyOf(namespace, id)));
    const first = driver();
    if (!first) return;
    const attempt = Math.max(1, this.#seen.get(keyOf(namespace, id))?.application?.attempts ?? 1);
    yield* driverLog(
      {
        api: this.#o.api,
        namespace,
        id,
        attempt,
        isRunning: () => {
          const pod = driver();
          return pod?.uid === first.uid && (pod.phase === 'Running' || pod.phase === 'Pending');
        },
      },
      request,
    );
  }

  *problems(): Generator<FleetProblem, void> {
    for (const copies of [this.#applications, this.#pods]) {
      yield* copies.problems(`${this.name}: `);
    }
  }

  #status(namespace: string, id: string, { application, pods }: Seen) {
    const driver = driverOf({ pods });
    if (application?.isOurs === true) {
      const needsReason = driver?.waiting === undefined;
      const status = statusOf(
        application,
        driver,
        needsReason ? this.#pending.known(namespace, id) : undefined,
      );
      if (status.state === 'PENDING' && needsReason) {
        this.#pending.wonder(namespace, id, application.createdAtMs);
      }
      const uiUrl =
        status.state === 'RUNNING' ? uiUrlOf({ namespace, id }, this.#o.settings) : undefined;
      return uiUrl === undefined ? status : { ...status, uiUrl };
    }
    if (pods.size === 0) return undefined;
    const left = [...pods.values()].map(({ name }) => name).join(', ');
    return {
      id,
      namespace,
      state: 'UNKNOWN' as const,
      attempt: 0,
      reason: {
        code: 'PODS_LEFT',
        message: `Its application is gone, and there still is ${left}.`,
      },
    };
  }

  /** A new leader does not build on what was seen before. */
  #inDoubt(namespace: string): boolean {
    const epoch = this.#o.leadership.epoch();
    if (epoch !== undefined && this.#readFor !== epoch) {
      this.#readFor = epoch;
      for (const copies of [this.#applications, this.#pods]) {
        void copies.readFor(epoch).then(() => this.#tellAll());
      }
    }
    return [this.#applications, this.#pods].some((copies) => copies.inDoubt(namespace, epoch));
  }

  #covers(namespace: string): boolean {
    return this.#pods.copies().some(({ scope }) => covers(scope, namespace));
  }

  #applicationChanged(change: Change<ApplicationView> | undefined): void {
    if (!change) {
      for (const seen of this.#seen.values()) seen.application = undefined;
      for (const view of this.#applications.values()) this.#at(view).application = view;
      this.#tellAll();
      return;
    }
    const { before, after } = change;
    if (before) this.#at(before).application = undefined;
    if (after) this.#at(after).application = after;
    this.#changed(after ?? before);
  }

  #podChanged(change: Change<JobPodView> | undefined): void {
    if (!change) {
      for (const seen of this.#seen.values()) seen.pods.clear();
      for (const view of this.#pods.values()) this.#at(view).pods.set(view.uid, view);
      this.#tellAll();
      return;
    }
    const { before, after } = change;
    if (before) this.#at(before).pods.delete(before.uid);
    if (after) this.#at(after).pods.set(after.uid, after);
    this.#changed(after ?? before);
  }

  #at({ namespace, id }: { readonly namespace: string; readonly id: string }): Seen {
    const key = keyOf(namespace, id);
    let seen = this.#seen.get(key);
    if (!seen) {
      seen = { application: undefined, pods: new Map() };
      this.#seen.set(key, seen);
    }
    return seen;
  }

  #changed(view: { readonly namespace: string; readonly id: string } | undefined): void {
    if (!view) return;
    const { namespace, id } = view;
    const key = keyOf(namespace, id);
    const seen = this.#seen.get(key);
    if (seen && !seen.application && seen.pods.size === 0) {
      this.#seen.delete(key);
      this.#pending.forget(namespace, id);
    }
    this.#tell(namespace, id);
  }

  #tell(namespace: string, id: string): void {
    for (const listener of this.#listeners) listener(namespace, id);
  }

  #tellAll(): void {
    for (const [key, seen] of this.#seen) {
      const [namespace = '', id = ''] = key.split('/');
      if (!seen.application && seen.pods.size === 0) this.#seen.delete(key);
      this.#tell(namespace, id);
    }
  }

  #podsNow(namespace: string, id: string): Promise<KubernetesList<KubernetesObject>> {
    return this.#o.api.request({
      path: collectionPath('v1', namespace, 'pods'),
      query: { labelSelector: jobSelector(this.#o.settings.gateway, id) },
    });
  }

  async #read(path: string): Promise<KubernetesObject | undefined> {
    try {
      return await this.#o.api.request<KubernetesObject>({ path });
    } catch (error) {
      if (hasStatus(error, 404)) return undefined;
      throw error;
    }
  }

  async #deleteOwn(path: string, kind: string): Promise<void> {
    const found = await this.#read(path);
    if (!found || !isOwnJobObject(this.#o.settings.key, kind, found)) return;
    if (found.metadata.deletionTimestamp === undefined)
      await this.#deleteAt(path, found.metadata.uid);
  }

  /** This very object: one that came under its name meanwhile is another. */
  async #deleteAt(path: string, uid: string | undefined): Promise<void> {
    try {
      await this.#o.api.request({
        method: 'DELETE',
        path,
        body: {
          apiVersion: 'v1',
          kind: 'DeleteOptions',
          propagationPolicy: 'Background',
          ...(uid === undefined ? {} : { preconditions: { uid } }),
        },
      });
    } catch (error) {
      if (!hasStatus(error, 404) && !hasStatus(error, 409)) throw error;
    }
  }
}

function driverOf(seen: Pick<Seen, 'pods'> | undefined): JobPodView | undefined {
  for (const pod of seen?.pods.values() ?? []) if (pod.isDriver) return pod;
  return undefined;
}

function pathOf(groupVersion: string, namespace: string, plural: string, name: string): string {
  return `${collectionPath(groupVersion, namespace, plural)}/${name}`;
}

function keyOf(namespace: string, id: string): string {
  return `${namespace}/${id}`;
}
