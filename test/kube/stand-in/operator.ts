/**
 * Stands in for the Spark operator and for the garbage collector: makes the driver pods of SparkConnect
 * and SparkApplication resources, reports their state, and deletes what a deleted resource owned.
 */
import { pino } from 'pino';
import { MERGE_PATCH, type KubernetesApi } from '../../../src/lib/kubernetes/kubernetes-api.js';
import {
  driverKinds,
  type DriverKind,
} from '../../../src/discovery/kubernetes/driver-resources.js';
import { hasStatus, KubernetesError } from '../../../src/lib/kubernetes/http.js';
import { Reflector } from '../../../src/lib/kubernetes/reflector.js';
import type { KubernetesList, KubernetesObject, Pod } from '../../../src/lib/kubernetes/objects.js';
import { systemClock } from '../../../src/model/clock.js';
import { reasonOf } from '../../../src/model/errors.js';

type Raw = Record<string, unknown>;

interface Resource extends KubernetesObject {
  readonly spec: Raw & { readonly server?: Raw; readonly driver?: Raw };
  readonly status?: Raw;
}

interface PodTemplate {
  readonly spec?: Raw & { readonly containers?: readonly Raw[] };
}

/** Kinds of objects that a resource may own. */
const OWNED = [
  { base: '/api/v1', plural: 'pods' },
  { base: '/api/v1', plural: 'secrets' },
  { base: '/api/v1', plural: 'configmaps' },
  { base: '/apis/policy/v1', plural: 'poddisruptionbudgets' },
];

export class Operator {
  readonly #api: KubernetesApi;
  readonly #resources: { readonly kind: DriverKind; readonly reflector: Reflector<Resource> }[];
  readonly #pods: Reflector<Pod>;
  /** Every resource ever seen, by uid: what is missing later was deleted. */
  readonly #seen = new Map<string, Resource>();
  /** Namespaces in which templates of pods come to nothing, as with an operator that does not know them. */
  readonly ignoresTemplatesIn = new Set<string>();
  #turn: Promise<void> = Promise.resolve();
  #wanted = false;
  #stopped = false;

  constructor(api: KubernetesApi) {
    this.#api = api;
    const logger = pino({ level: 'silent' });
    const onChange = () => this.#trigger();
    const clock = systemClock;
    this.#resources = (['SparkConnect', 'SparkApplication'] as const).map((kind) => ({
      kind,
      reflector: new Reflector<Resource>({
        api,
        path: `/apis/${driverKinds[kind].groupVersion}/${driverKinds[kind].plural}`,
        keep: (object) => object as Resource,
        optional: true,
        clock,
        logger,
        onChange,
      }),
    }));
    this.#pods = new Reflector<Pod>({
      api,
      path: '/api/v1/pods',
      keep: (object) => object,
      clock,
      logger,
      onChange,
    });
  }

  start(): void {
    this.#pods.start();
    for (const { reflector } of this.#resources) reflector.start();
  }

  async stop(): Promise<void> {
    this.#stopped = true;
    await Promise.all(
      [this.#pods, ...this.#resources.map((r) => r.reflector)].map((r) => r.stop()),
    );
    await this.#turn;
  }

  /** One pass at a time; whatever happens meanwhile causes one more. */
  #trigger(): void {
    if (this.#wanted || this.#stopped) return;
    this.#wanted = true;
    this.#turn = this.#turn.then(async () => {
      this.#wanted = false;
      if (!this.#stopped) await this.#reconcile().catch(() => this.#trigger());
    });
  }

  async #reconcile(): Promise<void> {
    const reflectors = [this.#pods, ...this.#resources.map(({ reflector }) => reflector)];
    if (reflectors.some(({ problem }) => problem !== undefined)) return;
    const pods = new Map(
      [...this.#pods.values()].map((pod) => [
        `${pod.metadata.namespace}/${pod.metadata.name}`,
        pod,
      ]),
    );
    const present = new Set<string>();
    const work: Promise<void>[] = [];
    for (const { kind, reflector } of this.#resources) {
      for (const resource of reflector.values()) {
        const { uid = '', namespace } = resource.metadata;
        present.add(uid);
        this.#seen.set(uid, resource);
        const suffix = kind === 'SparkConnect' ? 'server' : 'driver';
        const pod = pods.get(`${namespace}/${resource.metadata.name}-${suffix}`);
        work.push(
          kind === 'SparkConnect' ? this.#connect(resource, pod) : this.#application(resource, pod),
        );
      }
    }
    for (const [uid, resource] of this.#seen) {
      if (present.has(uid)) continue;
      this.#seen.delete(uid);
      work.push(this.#collect(resource));
    }
    await Promise.all(work);
  }

  /** The operator makes the pod again whenever it is missing, and says nothing when it cannot. */
  async #connect(resource: Resource, pod: Pod | undefined): Promise<void> {
    const { name } = resource.metadata;
    const template = (resource.spec.server?.['template'] ?? {}) as Raw & { metadata?: Raw };
    const made =
      pod ??
      (await this.#makePod(resource, {
        name: `${name}-server`,
        labels: {
          ...(template.metadata?.['labels'] as Raw | undefined),
          'sparkoperator.k8s.io/connect-name': name,
          'sparkoperator.k8s.io/launched-by-spark-operator': 'true',
          'spark-role': 'connect-server',
        },
        annotations: template.metadata?.['annotations'],
        spec: template['spec'],
      }));
    if (made instanceof Error) return;
    const ready = isReady(made);
    await this.#report('SparkConnect', resource, {
      state: ready ? 'Ready' : 'NotReady',
      server: { podName: made.metadata.name, podIp: made.status?.podIP ?? '' },
    });
  }

  /** Submitted once; its end is final. */
  async #application(resource: Resource, pod: Pod | undefined): Promise<void> {
    const { name } = resource.metadata;
    const state = (resource.status?.['applicationState'] as Raw | undefined)?.['state'];
    if (state === undefined || state === '') {
      // Without its webhook the operator hands on labels, and what Spark's pod template says.
      const driver = resource.spec.driver ?? {};
      const isIgnored = this.ignoresTemplatesIn.has(resource.metadata.namespace ?? '');
      const template = (isIgnored ? {} : (driver['template'] ?? {})) as PodTemplate;
      const [container, ...others] = template.spec?.containers ?? [];
      const made =
        pod ??
        (await this.#makePod(resource, {
          name: `${name}-driver`,
          labels: {
            ...(driver['labels'] as Raw | undefined),
            'sparkoperator.k8s.io/app-name': name,
            'sparkoperator.k8s.io/launched-by-spark-operator': 'true',
            'spark-role': 'driver',
          },
          annotations: driver['annotations'],
          spec: {
            ...template.spec,
            restartPolicy: 'Never',
            containers: [
              { ...container, name: 'spark-kubernetes-driver', image: resource.spec['image'] },
              ...others,
            ],
          },
        }));
      await this.#report('SparkApplication', resource, {
        applicationState:
          made instanceof Error
            ? { state: 'SUBMISSION_FAILED', errorMessage: made.message }
            : { state: 'SUBMITTED' },
        driverInfo: { podName: made instanceof Error ? '' : made.metadata.name },
      });
      return;
    }
    const phase = pod?.status?.phase;
    if ((state === 'SUBMITTED' && phase === 'Running') || (isLive(state) && !pod)) {
      await this.#state(resource, pod ? { state: 'RUNNING' } : failed('driver pod not found'));
    } else if (isLive(state) && phase === 'Failed') {
      await this.#state(resource, failed('driver container failed with ExitCode: 1'));
    }
  }

  #state(resource: Resource, applicationState: Raw): Promise<void> {
    return this.#report('SparkApplication', resource, { ...resource.status, applicationState });
  }

  async #makePod(
    owner: Resource,
    pod: { name: string; labels: Raw; annotations: unknown; spec: unknown },
  ): Promise<Pod | Error> {
    const { name, namespace = '', uid } = owner.metadata;
    const { spec, ...metadata } = pod;
    try {
      return await this.#api.request<Pod>({
        method: 'POST',
        path: `/api/v1/namespaces/${namespace}/pods`,
        body: {
          apiVersion: 'v1',
          kind: 'Pod',
          metadata: {
            ...metadata,
            ownerReferences: [
              { apiVersion: owner.apiVersion, kind: owner.kind, name, uid, controller: true },
            ],
          },
          spec,
        },
      });
    } catch (error) {
      if (error instanceof KubernetesError && error.verdict !== 'refused') throw error;
      return new Error(reasonOf(error));
    }
  }

  async #report(kind: DriverKind, { metadata, status }: Resource, next: Raw): Promise<void> {
    if (JSON.stringify(status) === JSON.stringify({ ...status, ...next })) return;
    const { groupVersion, plural } = driverKinds[kind];
    const path = `/apis/${groupVersion}/namespaces/${metadata.namespace}/${plural}/${metadata.name}`;
    try {
      await this.#api.request({
        method: 'PATCH',
        path: `${path}/status`,
        contentType: MERGE_PATCH,
        body: { status: next },
      });
    } catch (error) {
      if (!hasStatus(error, 404)) throw error;
    }
  }

  async #collect({ metadata }: Resource): Promise<void> {
    for (const { base, plural } of OWNED) {
      const path = `${base}/namespaces/${metadata.namespace}/${plural}`;
      const { items } = await this.#api.request<KubernetesList<KubernetesObject>>({ path });
      const owned = items.filter((object) =>
        object.metadata.ownerReferences?.some(({ uid }) => uid === metadata.uid),
      );
      await Promise.all(
        owned.map(async (object) => {
          try {
            await this.#api.request({ method: 'DELETE', path: `${path}/${object.metadata.name}` });
          } catch (error) {
            if (!hasStatus(error, 404)) throw error;
          }
        }),
      );
    }
  }
}

function isReady({ status }: Pod): boolean {
  return status?.conditions?.some((c) => c.type === 'Ready' && c.status === 'True') === true;
}

function isLive(state: unknown): boolean {
  return state === 'SUBMITTED' || state === 'RUNNING';
}

function failed(errorMessage: string): Raw {
  return { state: 'FAILED', errorMessage };
}
