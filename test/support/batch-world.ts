/** A leader of batch jobs over a store and a backend in memory, which outlive it. */
import { pino } from 'pino';
import { Backends } from '../../src/batch/backends.js';
import { BatchTerm } from '../../src/batch/batch-term.js';
import type { Submission } from '../../src/batch/job-submitter.js';
import type { BatchCaller, BatchJobs } from '../../src/batch/batch-jobs.js';
import type { AdminAction } from '../../src/model/audit.js';
import { type BatchPolicy, type JobLimits, ownerOf } from '../../src/model/batch-policy.js';
import type { Clock } from '../../src/model/clock.js';
import { GatewayError } from '../../src/model/errors.js';
import type { JobReport } from '../../src/model/job.js';
import type { Policy } from '../../src/model/policy.js';
import { FakeBatchBackend } from './fake-batch-backend.js';
import { TestLeadership } from './leadership.js';
import { ManualClock, settle } from './manual-clock.js';
import { MemoryJobStore } from './memory-job-store.js';

export const MANIFEST = `apiVersion: dcp.pedregal.doordash.com/v1
kind: SparkJob
metadata: { name: daily, team: ads }
spec:
  engine: { version: "4.1" }
  coreEtl:
    sources:
      - name: numbers
        rows: [{ n: 1 }, { n: 2 }]
    transforms:
      - name: doubled
        sql: SELECT n * 2 AS n FROM numbers
`;

export const ALICE: BatchCaller = {
  uriSans: ['spiffe://example/airflow'],
  dnsSans: [],
  subject: 'CN=airflow',
  user: 'alice',
  groups: [],
};
export const BOB: BatchCaller = { ...ALICE, user: 'bob' };

export const noLimits: JobLimits = {
  jobsPerOwner: undefined,
  jobsPerTeam: undefined,
  jobsPerNamespace: undefined,
};

/** Everybody may submit for every team but `forbidden`, and sees what is theirs. */
export function openPolicy(limits: JobLimits = noLimits): Pick<Policy, 'service' | 'batch'> {
  const batch: Pick<BatchPolicy, 'decideSubmit' | 'accessOf'> = {
    decideSubmit: ({ identity, team, sandbox = false, ttlSeconds, defaultTtlSeconds }) =>
      team === 'forbidden'
        ? new GatewayError('BATCH_REFUSED', 'not for this team')
        : {
            owner: ownerOf(identity),
            groups: [],
            sandbox,
            ttlSeconds: ttlSeconds ?? defaultTtlSeconds,
            limits,
          },
    accessOf:
      (identity) =>
      ({ owner }) => {
        if (owner === ownerOf(identity)) return 'cancel';
        return identity.groups.includes('readers') ? 'read' : 'none';
      },
  };
  return {
    service: ({ uriSans }) =>
      uriSans.length === 0
        ? undefined
        : { principal: { issuer: 'certificate', subject: 'airflow' }, groups: [], claims: {} },
    // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- what explains a decision is not asked here
    batch: batch as BatchPolicy,
  };
}

export interface BatchWorldOptions {
  readonly clock?: Clock;
  readonly limits?: JobLimits;
  readonly backends?: readonly FakeBatchBackend[];
  readonly pendingLimitMs?: number;
  readonly retentionMs?: number;
  readonly mostRecords?: number;
  readonly mostLive?: number;
  readonly deleteOutput?: (outputPath: string) => Promise<void>;
}

export class BatchWorld {
  readonly clock: ManualClock;
  readonly store = new MemoryJobStore();
  readonly backends: readonly FakeBatchBackend[];
  readonly backend: FakeBatchBackend;
  /** What stands beside the outputs, by job. */
  readonly reports = new Map<string, JobReport>();
  reportsReadable = true;
  readonly audit: AdminAction[] = [];
  readonly #options: BatchWorldOptions;
  #epoch = 0;
  #leadership = new TestLeadership();
  #term: BatchTerm;

  constructor(options: BatchWorldOptions = {}) {
    this.clock = new ManualClock();
    this.#options = options;
    this.backends = options.backends ?? [new FakeBatchBackend()];
    this.backend = this.backends[0] ?? new FakeBatchBackend();
    this.#term = this.#lead();
  }

  get term(): BatchTerm {
    return this.#term;
  }

  get leadership(): TestLeadership {
    return this.#leadership;
  }

  get jobs(): BatchJobs {
    return this.#term.jobs();
  }

  /** The leader dies where it stands; its requests that are under way may still arrive. */
  async crash(): Promise<void> {
    this.#leadership.held = undefined;
    void this.#term.stop();
    this.#term = this.#lead();
    await settle();
  }

  submit(given: Partial<Submission> = {}, caller: BatchCaller = ALICE) {
    return this.jobs.create(caller, {
      manifest: MANIFEST,
      team: 'ads',
      environment: 'staging',
      jobName: '',
      options: {},
      ...given,
    });
  }

  async submitted(given: Partial<Submission> = {}): Promise<string> {
    const { record } = await this.submit(given);
    await settle();
    return record.job.id;
  }

  state(id: string, caller: BatchCaller = ALICE) {
    return this.jobs.get(caller, id).state;
  }

  report(id: string, report: Partial<JobReport> = {}): void {
    this.reports.set(id, {
      jobId: id,
      applicationId: 'app-1',
      state: 'COMPLETED',
      exitCode: 0,
      ...report,
    });
  }

  close(): Promise<void> {
    return this.#term.stop();
  }

  #lead(): BatchTerm {
    const leadership = new TestLeadership();
    leadership.held = ++this.#epoch;
    this.#leadership = leadership;
    const { limits, pendingLimitMs, retentionMs, mostRecords, mostLive, deleteOutput } =
      this.#options;
    const term = new BatchTerm({
      store: this.store,
      leadership,
      backends: new Backends(this.backends),
      policy: () => openPolicy(limits),
      defaultTtlSeconds: 3600,
      audit: { adminAction: (action) => this.audit.push(action) },
      outputUrl: 's3://results/jobs/',
      historyUrl: 'https://history.example.com/history/{application_id}/jobs/',
      localPaths: false,
      readReport: async (_outputPath, id) => {
        await Promise.resolve();
        if (!this.reportsReadable) throw new Error('storage does not answer');
        return this.reports.get(id);
      },
      pendingLimitMs: pendingLimitMs ?? 900_000,
      retentionMs: retentionMs ?? 7 * 86_400_000,
      mostRecords: mostRecords ?? 1_000,
      mostLive: mostLive ?? 500,
      deleteOutput,
      clock: this.clock,
      logger: pino({ level: 'silent' }),
    });
    term.start();
    return term;
  }
}
