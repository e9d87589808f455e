/** A leader of batch jobs over a real API server, with the stand-in for the Spark operator. */
import { randomBytes, randomUUID } from 'node:crypto';
import { pino } from 'pino';
import { Backends } from '../../src/batch/backends.js';
import { BatchTerm } from '../../src/batch/batch-term.js';
import type { Submission } from '../../src/batch/job-submitter.js';
import {
  KubernetesBatchBackend,
  type KubernetesBackendOptions,
} from '../../src/batch/kubernetes/kubernetes-backend.js';
import { KubernetesJobStore } from '../../src/batch/records/kubernetes-job-store.js';
import { GatewayKey } from '../../src/lib/kubernetes/ownership.js';
import { KubernetesError } from '../../src/lib/kubernetes/http.js';
import type { ApiRequest, KubernetesApi } from '../../src/lib/kubernetes/kubernetes-api.js';
import { systemClock } from '../../src/model/clock.js';
import type { JobReport, JobState } from '../../src/model/job.js';
import { ALICE, MANIFEST, openPolicy } from '../support/batch-world.js';
import type { KubeApiServer } from '../support/kube-api-server.js';
import { TestLeadership } from '../support/leadership.js';
import { until } from './until.js';

const logger = pino({ level: 'silent' });
const clock = systemClock;
export const KEY = new GatewayKey(Buffer.alloc(32, 7));

type Api = KubernetesBackendOptions['api'];

export interface LeaderOptions {
  readonly api?: Api;
  readonly epoch?: number;
  readonly pendingLimitMs?: number;
}

export class KubeBatchWorld {
  readonly server: KubeApiServer;
  readonly admin: KubernetesApi;
  /** The gateway's own namespace. */
  readonly namespace: string;
  readonly gateway: string;
  /** Where the jobs run. */
  readonly jobs: string;
  readonly team: string;
  readonly reports = new Map<string, JobReport>();
  reportsReadable = true;
  #epoch = 0;

  private constructor(server: KubeApiServer, name: string) {
    this.server = server;
    this.admin = server.admin();
    this.team = `t${name}`;
    this.namespace = `gateway-${name}`;
    this.gateway = `gateway-${name}`;
    this.jobs = `sjns-${this.team}-staging`;
  }

  static async make(server: KubeApiServer): Promise<KubeBatchWorld> {
    const world = new KubeBatchWorld(server, randomBytes(4).toString('hex'));
    await server.createNamespace(world.namespace);
    await server.createNamespace(world.jobs);
    return world;
  }

  lead({ api = this.admin, epoch = ++this.#epoch, pendingLimitMs = 60_000 }: LeaderOptions = {}) {
    this.#epoch = epoch;
    const leadership = new TestLeadership();
    leadership.held = epoch;
    const { gateway, namespace } = this;
    const backend = new KubernetesBatchBackend({
      name: 'home',
      api,
      namespaces: [this.jobs],
      settings: {
        gateway,
        key: KEY,
        images: { '4.1': 'example.test/spark:4.1.3' },
        imagePullPolicy: 'IfNotPresent',
        serviceAccount: 'default',
        sparkConf: { 'spark.hadoop.fs.s3a.path.style.access': 'true' },
        templates: {},
        catalog: { name: 'unity', uri: 'https://catalog.example.com', tokenSecret: 'catalog' },
        uiUrl: 'https://ui.example.com/{namespace}/{job_id}',
      },
      leadership,
      clock,
      logger,
    });
    backend.start();
    const store = new KubernetesJobStore({ api, namespace, gateway, clock, logger });
    const term = new BatchTerm({
      store,
      leadership,
      backends: new Backends([backend]),
      policy: () => openPolicy(),
      audit: { adminAction: () => undefined },
      outputUrl: 's3://results/',
      historyUrl: undefined,
      localPaths: false,
      defaultTtlSeconds: 3_600,
      readReport: async (_outputPath, id) => {
        await Promise.resolve();
        if (!this.reportsReadable) throw new Error('storage does not answer');
        return this.reports.get(id);
      },
      pendingLimitMs,
      retentionMs: 86_400_000,
      mostRecords: 10_000,
      mostLive: 9_000,
      clock,
      logger,
    });
    term.start();
    const stop = async () => {
      leadership.held = undefined;
      await term.stop();
      await backend.close();
    };
    return { term, store, backend, leadership, stop };
  }

  submission(given: Partial<Submission> = {}): Submission {
    return {
      manifest: MANIFEST.replace('team: ads', `team: ${this.team}`),
      team: this.team,
      environment: 'staging',
      jobName: 'Daily Numbers+of@ads.example.com, the long one',
      options: {},
      ...given,
    };
  }

  applications(): Promise<{ items: Raw[] }> {
    return this.admin.request({
      path: `/apis/sparkoperator.k8s.io/v1beta2/namespaces/${this.jobs}/sparkapplications`,
    });
  }

  pods(): Promise<{ items: Raw[] }> {
    return this.admin.request({ path: `/api/v1/namespaces/${this.jobs}/pods` });
  }

  configMaps(): Promise<{ items: Raw[] }> {
    return this.admin.request({
      path: `/api/v1/namespaces/${this.jobs}/configmaps`,
      query: { labelSelector: 'spark-gateway.io/job' },
    });
  }
}

export interface Raw {
  readonly metadata: {
    readonly name: string;
    readonly uid: string;
    readonly labels: Record<string, string>;
    readonly annotations: Record<string, string>;
    readonly ownerReferences?: readonly { readonly uid: string; readonly kind: string }[];
  };
  readonly [field: string]: unknown;
}

export type Leading = ReturnType<KubeBatchWorld['lead']>;

/** Asks until the job is in one of these states. */
export async function untilState(
  { term }: Leading,
  id: string,
  ...states: readonly JobState[]
): Promise<void> {
  await eventually(() => states.includes(term.jobs().get(ALICE, id).state));
}

export function eventually(isSo: () => boolean | Promise<boolean>): Promise<void> {
  return until(async () => isSo(), { what: String(isSo), patienceMs: 20_000, log: () => '' });
}

/** What a job writes at its end. */
export function words(id: string, report: Record<string, unknown> = {}): string {
  return JSON.stringify({
    format: 1,
    job_id: id,
    application_id: 'spark-1',
    state: 'COMPLETED',
    exit_code: 0,
    row_count: '2',
    ...report,
  });
}

/**
 * The way to the API server of a process that is killed: the request with this number, counted from 1
 * of those that change something, is carried out or not, is not answered, and no other one is made.
 */
export class KilledApi {
  readonly #api: KubernetesApi;
  readonly #dies: { readonly at: number; readonly done: boolean };
  #changes = 0;
  isDead = false;
  readonly died: Promise<void>;
  #die: () => void = () => undefined;

  constructor(api: KubernetesApi, dies: { readonly at: number; readonly done: boolean }) {
    this.#api = api;
    this.#dies = dies;
    this.died = new Promise((resolve) => (this.#die = resolve));
  }

  get changes(): number {
    return this.#changes;
  }

  readonly request = async <T>(request: ApiRequest): Promise<T> => {
    if (this.isDead) throw new KubernetesError(0, 'ECONNRESET', 'killed');
    if (request.method === undefined || request.method === 'GET') return this.#api.request(request);
    this.#changes += 1;
    if (this.#changes !== this.#dies.at) return this.#api.request(request);
    this.isDead = true;
    if (this.#dies.done) await this.#api.request(request);
    this.#die();
    throw new KubernetesError(0, 'ECONNRESET', 'killed');
  };

  readonly watch: Api['watch'] = (request) => this.#api.watch(request);
  readonly lines: Api['lines'] = (request) => this.#api.lines(request);
}

export const requestId = (): string => randomUUID();
