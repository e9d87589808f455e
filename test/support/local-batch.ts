/** Local batch jobs that are stand-ins, and leave nothing behind. */
import { fileURLToPath } from 'node:url';
import type { ExecutionContext } from 'ava';
import { pino } from 'pino';
import type { ApplicationStatus, BackendLogLine, JobToRun } from '../../src/batch/backend.js';
import { stopLocalBatch } from '../../src/batch/local/attempt-processes.js';
import { LocalBatch, type LocalBatchOptions } from '../../src/batch/local/local-batch.js';
import type { MakeJobCommand } from '../../src/batch/local/spark-submit.js';
import { systemClock } from '../../src/model/clock.js';

const standIn = fileURLToPath(new URL('stand-in-job.js', import.meta.url));

/** `behaviour` of each job is its name, such as `fail 13`. */
export const standInJob: MakeJobCommand = ({ job, marker, reportFile }) => ({
  file: process.execPath,
  args: [standIn, marker, ...job.jobName.split(' ')],
  env: { COREETL_TERMINATION_LOG: reportFile },
  notes: [],
});

export const NAMESPACE = 'sjns-ads-dev';

export function jobToRun(id: string, behaviour: string, more: Partial<JobToRun> = {}): JobToRun {
  return {
    id,
    namespace: NAMESPACE,
    team: 'ads',
    environment: 'dev',
    user: 'alice',
    jobName: behaviour,
    jobFile: Buffer.from(`job file of ${id}`),
    engineVersion: '4.1',
    resources: {
      driver: { cores: 1, memory: '1g' },
      executor: { cores: 1, memory: '1g', instances: 1 },
    },
    outputPath: 'file:///nowhere',
    retries: false,
    ttlSeconds: 3600,
    ...more,
  };
}

export async function openLocalBatch(
  t: ExecutionContext,
  options: Partial<LocalBatchOptions> & { readonly stateFolder: string },
): Promise<LocalBatch> {
  const batch = new LocalBatch({
    makeCommand: standInJob,
    clock: systemClock,
    log: pino({ enabled: false }),
    graceMs: 1_000,
    retryPauseMs: 10,
    ...options,
  });
  // As a leader does.
  batch.onChange(() => undefined);
  await batch.remains(NAMESPACE, 'none');
  t.teardown(async () => {
    await batch.close();
    await stopLocalBatch(options.stateFolder, 100);
  });
  return batch;
}

/** Waits until the job is as wanted, looking again at each change. */
export async function untilJob(
  batch: LocalBatch,
  id: string,
  wanted: (status: ApplicationStatus | undefined) => boolean,
): Promise<ApplicationStatus | undefined> {
  // What is waited for may come by timers that do not keep a process alive.
  const alive = setInterval(() => undefined, 60_000);
  try {
    for (;;) {
      const changed = new Promise<void>((resolve) => {
        const stop = batch.onChange(() => {
          stop();
          resolve();
        });
      });
      const status = batch.status(NAMESPACE, id);
      if (wanted(status)) return status;
      await changed;
    }
  } finally {
    clearInterval(alive);
  }
}

export const hasEnded = (status: ApplicationStatus | undefined): boolean =>
  status?.state === 'SUCCEEDED' || status?.state === 'FAILED';

export async function logOf(
  batch: LocalBatch,
  id: string,
  request: { readonly tail?: number; readonly since?: string; readonly follow?: boolean } = {},
): Promise<readonly BackendLogLine[]> {
  const alive = setInterval(() => undefined, 60_000);
  try {
    const { signal } = new AbortController();
    const lines: BackendLogLine[] = [];
    for await (const line of batch.logs(NAMESPACE, id, { follow: false, signal, ...request })) {
      lines.push(line);
    }
    return lines;
  } finally {
    clearInterval(alive);
  }
}
