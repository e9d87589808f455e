/** Batch jobs in the control plane: where their records are, where they run, and who may ask. */
import type { Server } from '@grpc/grpc-js';
import type { Logger } from 'pino';
import { Counter, Gauge, Histogram, type Registry } from 'prom-client';
import { Backends } from '../batch/backends.js';
import { addBatchService } from '../batch/batch-service.js';
import { BatchTerm } from '../batch/batch-term.js';
import type { JobRecord } from '../batch/records/job-record.js';
import { LARGEST_STATUS_BYTES, parseReport, STATUS_FILE } from '../batch/report.js';
import { objectIn } from '../lib/storage/storage.js';
import type { AuditSink } from '../model/audit.js';
import type { Clock } from '../model/clock.js';
import { GatewayError } from '../model/errors.js';
import type { FleetProblem, ProblemSource } from '../model/fleet-problem.js';
import { jobStates } from '../model/job.js';
import type { Leadership } from '../model/ledger.js';
import type { Policy } from '../model/policy.js';
import type { Settings } from '../settings/table.js';
import { openKubernetesBatch, openLocalBatch } from './batch-place.js';
import { batchResults, outputDeletion, takesLocalPaths } from './batch-output.js';
import type { KubernetesAccess } from './kubernetes.js';

interface Context {
  readonly access: KubernetesAccess | undefined;
  readonly leadership: Leadership;
  readonly policy: () => Policy;
  readonly audit: Pick<AuditSink, 'adminAction'>;
  readonly registry: Registry;
  readonly clock: Clock;
  readonly logger: Logger;
}

export interface Batch extends ProblemSource {
  /** What a leader has of it, made for one term. */
  createTerm(leadership: Leadership): BatchTerm;
  close(): Promise<void>;
}

/** undefined: this gateway runs no batch jobs. */
export async function openBatch(settings: Settings, context: Context): Promise<Batch | undefined> {
  const { clock, logger, registry, policy, audit, access } = context;
  const { batch } = settings;
  const place = access
    ? openKubernetesBatch(settings, access, context)
    : await openLocalBatch(settings, context);
  if (!place) return undefined;
  const { outputUrl } = place;
  const backends = new Backends(place.backends);
  const storage = batchResults(settings);
  let current: BatchTerm | undefined;
  const metrics = batchMetrics(registry, () => current);
  return {
    createTerm(leadership) {
      void current?.stop();
      current = new BatchTerm({
        store: place.store,
        backends,
        leadership,
        policy,
        audit,
        outputUrl,
        historyUrl: batch.historyUrl,
        localPaths: takesLocalPaths(settings),
        defaultTtlSeconds: batch.ttlMs / 1000,
        mostLive: batch.jobsMaximum,
        mostRecords: batch.recordsMaximum,
        pendingLimitMs: batch.pendingLimitMs,
        retentionMs: batch.retentionMs,
        async readReport(outputPath, id) {
          const url = objectIn(outputPath, STATUS_FILE);
          const bytes = await storage.read(url, LARGEST_STATUS_BYTES);
          return bytes && parseReport(bytes.toString('utf8'), id);
        },
        deleteOutput: outputDeletion(settings),
        ...metrics,
        clock,
        logger,
      });
      return current;
    },
    *problems(): Generator<FleetProblem, void> {
      yield* place.problems();
      if (current) yield* current.problems();
    },
    async close() {
      await current?.stop();
      await Promise.all(place.backends.map((backend) => backend.close()));
    },
  };
}

function noJobs(): never {
  throw new GatewayError(
    'BATCH_REFUSED',
    'This gateway runs no batch jobs: see batch.output_url in its settings.',
  );
}

/** In place of a term's own, where there are no batch jobs. */
export function refuseBatch(server: Server, logger: Logger): void {
  addBatchService(server, { jobs: noJobs, logger });
}

/** What jobs come to, for Prometheus. */
function batchMetrics(registry: Registry, term: () => BatchTerm | undefined) {
  const registers = [registry];
  registry.registerMetric(
    new Gauge({
      name: 'spark_gateway_batch_jobs',
      help: 'Batch jobs that the leader remembers, by state.',
      labelNames: ['state'],
      registers: [],
      collect() {
        const counts = term()?.counts();
        for (const state of jobStates) this.set({ state }, counts?.get(state) ?? 0);
      },
    }),
  );
  const submissions = new Counter({
    name: 'spark_gateway_batch_submissions_total',
    help: 'Batch jobs that were asked for: accepted, a duplicate of one that was there, or refused.',
    labelNames: ['outcome'],
    registers,
  });
  const ended = new Counter({
    name: 'spark_gateway_batch_jobs_ended_total',
    help: 'Batch jobs that have ended, by state.',
    labelNames: ['state'],
    registers,
  });
  const durations = new Histogram({
    name: 'spark_gateway_batch_job_duration_seconds',
    help: 'From the submission of a batch job to its end.',
    labelNames: ['state'],
    buckets: [10, 30, 60, 120, 300, 600, 1800, 3600, 7200, 21_600],
    registers,
  });
  const failures = new Counter({
    name: 'spark_gateway_batch_look_failures_total',
    help: 'Times that the leader could not do for a batch job what is to be done; it tries again.',
    registers,
  });
  for (const outcome of ['accepted', 'duplicate', 'refused']) submissions.inc({ outcome }, 0);
  for (const state of ['COMPLETED', 'FAILED', 'CANCELLED']) ended.inc({ state }, 0);
  return {
    onSubmitted: (outcome: 'accepted' | 'duplicate' | 'refused') => submissions.inc({ outcome }),
    onEnded: ({ state, job, endedAtMs }: JobRecord) => {
      ended.inc({ state });
      if (endedAtMs !== undefined) {
        durations.observe({ state }, Math.max(0, endedAtMs - job.createdAtMs) / 1000);
      }
    },
    onFailedLook: () => failures.inc(),
  };
}
