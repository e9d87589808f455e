/**
 * Stands in for scheduler and kubelet: binds every pod to a node, runs it, and writes its status as a
 * kubelet would, up to its end and its deletion.
 */
import { randomUUID } from 'node:crypto';
import { pino } from 'pino';
import { setTimeout as pause } from 'node:timers/promises';
import {
  MERGE_PATCH,
  type ApiRequest,
  type KubernetesApi,
} from '../../../src/lib/kubernetes/kubernetes-api.js';
import { hasStatus, KubernetesError } from '../../../src/lib/kubernetes/http.js';
import { Reflector } from '../../../src/lib/kubernetes/reflector.js';
import type { Pod } from '../../../src/lib/kubernetes/objects.js';
import { systemClock } from '../../../src/model/clock.js';
import type { Runtime, RunningDriver } from './runtime.js';

interface Running {
  readonly driver: RunningDriver;
  readonly startedAt: string;
  readonly containerID: string;
  stopping: boolean;
  /** Writes of its status, one after the other. */
  writes: Promise<void>;
}

interface SecretKeyRef {
  readonly name: string;
  readonly key: string;
}

interface EnvVar {
  readonly name: string;
  readonly value?: string;
  readonly valueFrom?: { readonly secretKeyRef?: SecretKeyRef };
}

const NODE = 'stand-in';
/** An image with this in its name cannot be pulled. */
export const MISSING_IMAGE = 'no-such-image';

export class Kubelet {
  readonly #api: KubernetesApi;
  readonly #runtime: Runtime;
  readonly #pods: Reflector<Pod>;
  readonly #running = new Map<string, Running>();
  readonly #begun = new Set<string>();
  /** Namespaces whose pods run on a node that is dead: nobody runs them, ends them or tells of them. */
  readonly #dead = new Set<string>();
  /** How long a container takes to end, milliseconds. */
  endsAfterMs = 0;
  #stopped = false;

  constructor(api: KubernetesApi, runtime: Runtime) {
    this.#api = api;
    this.#runtime = runtime;
    this.#pods = new Reflector<Pod>({
      api,
      path: '/api/v1/pods',
      keep: (object) => object,
      clock: systemClock,
      logger: pino({ level: 'silent' }),
      onChange: () => this.#reconcile(),
    });
  }

  start(): void {
    this.#pods.start();
  }

  async stop(): Promise<void> {
    this.#stopped = true;
    await this.#pods.stop();
    const all = [...this.#running.values()];
    for (const { driver } of all) driver.stop();
    await Promise.all(all.map(({ driver }) => driver.ended));
    await Promise.all(all.map(({ writes }) => writes));
  }

  /** The driver in a pod ends by itself, as in a crash. */
  crash(uid: string): void {
    this.#running.get(uid)?.driver.stop();
  }

  /** The node that this namespace's pods run on goes down. */
  loseNode(namespace: string): void {
    this.#dead.add(namespace);
    for (const { metadata } of this.#pods.values()) {
      if (metadata.namespace === namespace) this.crash(metadata.uid ?? '');
    }
  }

  /** It is back, or another took its place: what is to end does. */
  findNode(namespace: string): void {
    this.#dead.delete(namespace);
    this.#reconcile();
  }

  /** The driver in a pod is stopped where it stands; the kubelet's own probe of TCP notices nothing. */
  standStill(uid: string): void {
    this.#running.get(uid)?.driver.standStill?.();
  }

  /** Says whether the pod's probe succeeds now. */
  async setReady(pod: Pod, ready: boolean): Promise<void> {
    const running = this.#running.get(pod.metadata.uid ?? '');
    if (running) await this.#write(pod, running, ready);
  }

  #reconcile(): void {
    for (const pod of this.#pods.values()) {
      const { uid = '', deletionTimestamp, namespace = '' } = pod.metadata;
      if (this.#dead.has(namespace)) continue;
      if (deletionTimestamp !== undefined) void this.#terminate(pod);
      else if (!this.#begun.has(uid) && (pod.spec?.nodeName ?? NODE) === NODE) {
        this.#begun.add(uid);
        void this.#run(pod);
      }
    }
  }

  async #run(pod: Pod): Promise<void> {
    const { name, namespace = '', uid = '' } = pod.metadata;
    const path = podPath(pod);
    await this.#persist({
      method: 'POST',
      path: `${path}/binding`,
      body: {
        apiVersion: 'v1',
        kind: 'Binding',
        metadata: { name, namespace },
        target: { apiVersion: 'v1', kind: 'Node', name: NODE },
      },
    });
    const images = JSON.stringify(pod.spec);
    if (images.includes(MISSING_IMAGE)) {
      await this.#status(pod, waitingStatus(pod));
      return;
    }
    const env = await this.#environment(pod);
    if (this.#stopped) return;
    const driver = this.#runtime(pod, env);
    const running: Running = {
      driver,
      startedAt: now(),
      containerID: `stand-in://${randomUUID()}`,
      stopping: false,
      writes: Promise.resolve(),
    };
    this.#running.set(uid, running);
    await this.#write(pod, running, false);
    void driver.ready.then(() => this.#write(pod, running, true));
    const exitCode = await driver.ended;
    await this.#write(pod, running, false, exitCode);
    this.#running.delete(uid);
  }

  /** A Secret that is not there yet is waited for, as a kubelet does, until this one is stopped. */
  async #environment(pod: Pod): Promise<Record<string, string>> {
    const { containers = [] } = pod.spec as unknown as {
      containers?: readonly { env?: readonly EnvVar[] }[];
    };
    const env: Record<string, string> = {};
    for (const { name, value, valueFrom } of containers[0]?.env ?? []) {
      const reference = valueFrom?.secretKeyRef;
      if (value !== undefined) env[name] = value;
      else if (reference) env[name] = await this.#secret(pod, reference);
    }
    return env;
  }

  async #secret({ metadata }: Pod, { name, key }: SecretKeyRef): Promise<string> {
    const path = `/api/v1/namespaces/${metadata.namespace}/secrets/${name}`;
    for (;;) {
      try {
        const { data } = await this.#api.request<{ data: Record<string, string> }>({ path });
        return Buffer.from(data[key] ?? '', 'base64').toString();
      } catch (error) {
        if (!(error instanceof KubernetesError)) throw error;
        if (this.#stopped) return '';
        await pause(50);
      }
    }
  }

  async #terminate(pod: Pod): Promise<void> {
    const running = this.#running.get(pod.metadata.uid ?? '');
    if (running) {
      if (running.stopping) return;
      running.stopping = true;
      if (this.endsAfterMs > 0) await pause(this.endsAfterMs);
      running.driver.stop();
      await running.driver.ended;
      await running.writes;
    }
    await this.#persist({
      method: 'DELETE',
      path: podPath(pod),
      body: {
        apiVersion: 'v1',
        kind: 'DeleteOptions',
        gracePeriodSeconds: 0,
        preconditions: { uid: pod.metadata.uid },
      },
    });
  }

  #write(pod: Pod, running: Running, ready: boolean, exitCode?: number): Promise<void> {
    running.writes = running.writes.then(() =>
      this.#status(pod, runningStatus(pod, running, ready, exitCode)),
    );
    return running.writes;
  }

  async #status(pod: Pod, status: unknown): Promise<void> {
    if (this.#dead.has(pod.metadata.namespace ?? '')) return;
    await this.#persist({
      method: 'PATCH',
      path: `${podPath(pod)}/status`,
      contentType: MERGE_PATCH,
      body: { metadata: { uid: pod.metadata.uid }, status },
    });
  }

  /** A pod may be gone, which is fine; while the API server is away a kubelet tries again. */
  async #persist(request: ApiRequest): Promise<void> {
    for (;;) {
      try {
        await this.#api.request(request);
        return;
      } catch (error) {
        if (hasStatus(error, 404) || hasStatus(error, 409) || this.#stopped) return;
        if (!(error instanceof KubernetesError) || error.verdict === 'refused') throw error;
        await pause(100);
      }
    }
  }
}

function runningStatus(pod: Pod, running: Running, ready: boolean, exitCode: number | undefined) {
  const { startedAt, containerID, driver } = running;
  const ended = exitCode !== undefined;
  const state = ended
    ? { terminated: { exitCode, reason: 'Error', startedAt, finishedAt: now(), containerID } }
    : { running: { startedAt } };
  return {
    phase: ended ? 'Failed' : 'Running',
    podIP: driver.address,
    podIPs: [{ ip: driver.address }],
    hostIP: '127.0.0.1',
    startTime: startedAt,
    conditions: [
      // A first "not ready" is older than the container, a later one is younger.
      condition('Ready', ready, ready || ended ? later(startedAt) : startedAt),
      condition('PodScheduled', true, startedAt),
    ],
    containerStatuses: (pod.spec?.containers ?? []).map(({ name }, index) => ({
      name,
      containerID: index === 0 ? containerID : `${containerID}-${name}`,
      image: 'stand-in',
      imageID: '',
      ready,
      started: true,
      restartCount: 0,
      state,
    })),
  };
}

function waitingStatus(pod: Pod) {
  return {
    phase: 'Pending',
    conditions: [condition('Ready', false, now())],
    containerStatuses: (pod.spec?.containers ?? []).map(({ name }) => ({
      name,
      image: '',
      imageID: '',
      ready: false,
      restartCount: 0,
      state: {
        waiting: { reason: 'ImagePullBackOff', message: `Back-off pulling image ${MISSING_IMAGE}` },
      },
    })),
  };
}

function condition(type: string, value: boolean, since: string) {
  return { type, status: value ? 'True' : 'False', lastTransitionTime: since };
}

function podPath({ metadata }: Pod): string {
  return `/api/v1/namespaces/${metadata.namespace}/pods/${metadata.name}`;
}

/** Kubernetes' times have whole seconds. */
function now(): string {
  return new Date().toISOString().replace(/\.\d+Z$/, 'Z');
}

function later(than: string): string {
  return new Date(Math.max(Date.now(), Date.parse(than) + 1_000))
    .toISOString()
    .replace(/\.\d+Z$/, 'Z');
}
