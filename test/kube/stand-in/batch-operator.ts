/**
 * Stands in for the Spark operator, the kubelet and the garbage collector where batch jobs are concerned.
 * It behaves as the operator does, its traps included: it is slow, it deletes the driver of a failed
 * attempt with all that was known of it, waits for ever where a retry interval is missing, deletes an
 * application some time after its end only where it knows when that was, leaves executors that have two
 * owners, and may make a driver for an application that is gone already.
 */
import { pino } from 'pino';
import { setTimeout as pause } from 'node:timers/promises';
import { KubernetesError, hasStatus } from '../../../src/lib/kubernetes/http.js';
import { type KubernetesApi, MERGE_PATCH } from '../../../src/lib/kubernetes/kubernetes-api.js';
import type { KubernetesObject, Pod } from '../../../src/lib/kubernetes/objects.js';
import { Reflector } from '../../../src/lib/kubernetes/reflector.js';
import { systemClock } from '../../../src/model/clock.js';

type Raw = Record<string, unknown>;

interface Application extends KubernetesObject {
  readonly spec: Raw & {
    readonly driver: Raw & { readonly template?: { readonly spec?: Raw } };
    readonly restartPolicy?: Raw;
    readonly timeToLiveSeconds?: number;
    readonly suspend?: boolean;
  };
  readonly status?: Raw & { readonly applicationState?: { readonly state: string } };
}

/** How an attempt goes. */
export interface Attempt {
  readonly exitCode: number;
  /** Written to the termination message. */
  readonly words?: string;
  /** The driver's pod is gone before the operator has looked. */
  readonly unseen?: boolean;
}

export class BatchOperator {
  readonly #api: KubernetesApi;
  readonly #applications: Reflector<Application>;
  readonly #seen = new Map<string, Application>();
  readonly #working = new Set<string>();
  /** How the attempts of an application go, by its name; without an entry a driver runs until it is ended. */
  readonly attempts = new Map<string, Attempt[]>();
  /** Applications that come while it is busy are looked at so much later. */
  slowMs = 0;
  /** A second of the operator's intervals. */
  secondMs = 20;
  /** It is in the middle of submitting when an application is deleted: its driver appears all the same. */
  submitsLate = false;
  /** How many executors a driver makes. */
  executors = 1;
  #stopped = false;

  constructor(api: KubernetesApi) {
    this.#api = api;
    this.#applications = new Reflector<Application>({
      api,
      path: '/apis/sparkoperator.k8s.io/v1beta2/sparkapplications',
      keep: (object) => object as Application,
      clock: systemClock,
      logger: pino({ level: 'silent' }),
      onChange: () => this.#reconcile(),
    });
  }

  start(): void {
    this.#applications.start();
  }

  async stop(): Promise<void> {
    this.#stopped = true;
    await this.#applications.stop();
  }

  /** The driver that runs now ends so. */
  async end(namespace: string, name: string, attempt: Attempt): Promise<void> {
    await this.#endDriver(namespace, name, attempt);
  }

  /** Sets the state that the operator tells, whatever is there. */
  async tell(namespace: string, name: string, state: string, more: Raw = {}): Promise<void> {
    await this.#status({ namespace, name }, { applicationState: { state }, ...more });
  }

  #reconcile(): void {
    const present = new Set<string>();
    for (const application of this.#applications.values()) {
      const { uid = '' } = application.metadata;
      present.add(uid);
      this.#seen.set(uid, application);
      if (this.#working.has(uid) || application.spec.suspend === true) continue;
      this.#working.add(uid);
      void this.#live(application).catch((error: unknown) => {
        if (!this.#stopped) console.error('the stand-in of the operator failed', error);
      });
    }
    for (const [uid, application] of this.#seen) {
      if (present.has(uid)) continue;
      this.#seen.delete(uid);
      void this.#collect(application);
    }
  }

  async #live(application: Application): Promise<void> {
    const { name, namespace = '', uid = '' } = application.metadata;
    const { restartPolicy = {}, timeToLiveSeconds } = application.spec;
    const there = () => this.#seen.has(uid) && !this.#stopped;
    await pause(this.slowMs);
    for (let count = 1; ; count += 1) {
      if (!there() && !this.submitsLate) return;
      try {
        await this.#makeDriver(application);
      } catch (error) {
        if (!(error instanceof KubernetesError)) throw error;
        await this.#status(application.metadata, {
          applicationState: { state: 'SUBMISSION_FAILED', errorMessage: error.message },
          submissionAttempts: count,
        });
        await pause(this.secondMs);
        await this.#status(application.metadata, {
          applicationState: { state: 'FAILED', errorMessage: error.message },
          terminationTime: now(),
        });
        return;
      }
      await this.#status(application.metadata, {
        applicationState: { state: 'SUBMITTED' },
        executionAttempts: count,
        submissionAttempts: 1,
        lastSubmissionAttemptTime: now(),
        sparkApplicationId: `spark-${uid.slice(0, 8)}-${count}`,
        driverInfo: { podName: `${name}-driver` },
      });
      await this.#run(application);
      if (!there()) return;
      await this.#status(application.metadata, { applicationState: { state: 'RUNNING' } });
      const planned = this.attempts.get(name)?.shift();
      if (planned) await this.#endDriver(namespace, name, planned);
      const ended = await this.#ended(namespace, name, there);
      if (!ended || !there()) return;
      if (ended.exitCode === 0) {
        await this.#status(application.metadata, { applicationState: { state: 'SUCCEEDING' } });
        await pause(this.secondMs);
        await this.#status(application.metadata, {
          applicationState: { state: 'COMPLETED' },
          terminationTime: now(),
        });
        break;
      }
      const errorMessage =
        ended.exitCode === undefined
          ? 'driver pod not found'
          : `driver container failed with ExitCode: ${ended.exitCode}, Reason: Error`;
      await this.#status(application.metadata, {
        applicationState: { state: 'FAILING', errorMessage },
      });
      const retries =
        restartPolicy['type'] === 'OnFailure' ? Number(restartPolicy['onFailureRetries'] ?? 0) : -1;
      const interval = restartPolicy['onFailureRetryInterval'];
      if (count <= retries) {
        // Without an interval it is an error, and tried again for ever.
        if (interval === undefined) return;
        await pause(Number(interval) * this.secondMs);
        if (!there()) return;
        await this.#delete(`/api/v1/namespaces/${namespace}/pods/${name}-driver`);
        await this.#status(application.metadata, {
          applicationState: { state: 'PENDING_RERUN', errorMessage: null },
          driverInfo: null,
          sparkApplicationId: null,
        });
        await pause(this.secondMs);
        continue;
      }
      await this.#status(application.metadata, {
        applicationState: { state: 'FAILED', errorMessage },
        // Where the driver was never seen to end, it does not know when that was, and deletes nothing.
        ...(ended.exitCode === undefined ? {} : { terminationTime: now() }),
      });
      if (ended.exitCode === undefined) return;
      break;
    }
    if (timeToLiveSeconds === undefined) return;
    await pause(timeToLiveSeconds * this.secondMs);
    if (there()) {
      await this.#delete(
        `/apis/sparkoperator.k8s.io/v1beta2/namespaces/${namespace}/sparkapplications/${name}`,
      );
    }
  }

  async #makeDriver({ apiVersion, kind, metadata, spec }: Application): Promise<void> {
    const { name, namespace, uid } = metadata;
    const { driver } = spec;
    const template = driver.template?.spec ?? {};
    const containers = template['containers'] as Raw[] | undefined;
    const [container = {}] = containers ?? [];
    await this.#api.request({
      method: 'POST',
      path: `/api/v1/namespaces/${namespace}/pods`,
      body: {
        apiVersion: 'v1',
        kind: 'Pod',
        metadata: {
          name: `${name}-driver`,
          labels: {
            ...(driver['labels'] as Raw),
            'spark-role': 'driver',
            'sparkoperator.k8s.io/app-name': name,
          },
          annotations: driver['annotations'],
          ownerReferences: [{ apiVersion, kind, name, uid, controller: true }],
        },
        spec: {
          ...template,
          serviceAccountName: undefined,
          restartPolicy: 'Never',
          containers: [{ ...container, image: spec['image'] }],
        },
      },
    });
  }

  /** As the kubelet does, with executors that both the application and the driver own. */
  async #run({ apiVersion, kind, metadata, spec }: Application): Promise<void> {
    const { name, namespace, uid } = metadata;
    const pods = `/api/v1/namespaces/${namespace}/pods`;
    const driver = await this.#api.request<Pod>({ path: `${pods}/${name}-driver` });
    await this.#podStatus(namespace ?? '', `${name}-driver`, { running: { startedAt: now() } });
    for (let n = 1; n <= this.executors; n += 1) {
      await this.#api
        .request({
          method: 'POST',
          path: pods,
          body: {
            apiVersion: 'v1',
            kind: 'Pod',
            metadata: {
              name: `${name}-exec-${driver.metadata.uid?.slice(0, 6)}-${n}`,
              labels: { ...(spec['executor'] as { labels: Raw }).labels, 'spark-role': 'executor' },
              ownerReferences: [
                { apiVersion, kind, name, uid },
                { apiVersion: 'v1', kind: 'Pod', name: `${name}-driver`, uid: driver.metadata.uid },
              ],
            },
            spec: { containers: [{ name: 'spark-kubernetes-executor', image: spec['image'] }] },
          },
        })
        .catch(() => undefined);
    }
  }

  async #endDriver(namespace: string, name: string, attempt: Attempt): Promise<void> {
    const { exitCode, words, unseen } = attempt;
    if (unseen === true) {
      await this.#delete(`/api/v1/namespaces/${namespace}/pods/${name}-driver`);
      return;
    }
    await this.#podStatus(namespace, `${name}-driver`, {
      terminated: {
        exitCode,
        reason: exitCode === 0 ? 'Completed' : 'Error',
        startedAt: now(),
        finishedAt: now(),
        ...(words === undefined ? {} : { message: words }),
      },
    });
  }

  async #podStatus(namespace: string, pod: string, state: Raw): Promise<void> {
    const phase = 'running' in state ? 'Running' : exitOf(state) === 0 ? 'Succeeded' : 'Failed';
    await this.#api.request({
      method: 'PATCH',
      path: `/api/v1/namespaces/${namespace}/pods/${pod}/status`,
      contentType: MERGE_PATCH,
      body: {
        status: {
          phase,
          containerStatuses: [
            {
              name: 'spark-kubernetes-driver',
              image: 'stand-in',
              imageID: '',
              ready: false,
              restartCount: 0,
              state,
            },
          ],
        },
      },
    });
  }

  /** Resolves when the driver has ended, without an exit code where it is gone; undefined: the application is. */
  async #ended(
    namespace: string,
    name: string,
    there: () => boolean,
  ): Promise<{ readonly exitCode: number | undefined } | undefined> {
    for (;;) {
      if (!there()) return undefined;
      try {
        const pod = await this.#api.request<Pod>({
          path: `/api/v1/namespaces/${namespace}/pods/${name}-driver`,
        });
        const ended = pod.status?.containerStatuses?.[0]?.state?.terminated;
        if (ended) return { exitCode: ended.exitCode };
      } catch (error) {
        if (hasStatus(error, 404)) return { exitCode: undefined };
        throw error;
      }
      await pause(10);
    }
  }

  async #status(
    { namespace, name }: { readonly namespace?: string | undefined; readonly name: string },
    status: Raw,
  ): Promise<void> {
    await this.#api
      .request({
        method: 'PATCH',
        path: `/apis/sparkoperator.k8s.io/v1beta2/namespaces/${namespace}/sparkapplications/${name}/status`,
        contentType: MERGE_PATCH,
        body: { status },
      })
      .catch((error: unknown) => {
        if (!hasStatus(error, 404)) throw error;
      });
  }

  /** Of what a deleted application owned, what nobody else owns: executors stay. */
  async #collect({ metadata }: Application): Promise<void> {
    const { name, namespace } = metadata;
    if (this.submitsLate) return;
    await this.#delete(`/api/v1/namespaces/${namespace}/pods/${name}-driver`);
    await this.#delete(`/api/v1/namespaces/${namespace}/configmaps/${name}-job`);
  }

  async #delete(path: string): Promise<void> {
    await this.#api
      .request({
        method: 'DELETE',
        path,
        body: { apiVersion: 'v1', kind: 'DeleteOptions', gracePeriodSeconds: 0 },
      })
      .catch((error: unknown) => {
        if (!hasStatus(error, 404)) throw error;
      });
  }
}

function exitOf(state: Raw): number {
  return (state['terminated'] as { exitCode: number }).exitCode;
}

function now(): string {
  return new Date().toISOString().replace(/\.\d+Z$/, 'Z');
}
