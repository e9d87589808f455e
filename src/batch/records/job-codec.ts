/** Job records as JSON, in files and in custom resources (k8s/crd/sparkbatches.yaml), and back. */
import { fail, nonEmpty, number, object, oneOf, optional, string } from '../../lib/json-record.js';
import { jobStates, type JobReason, type JobResources } from '../../model/job.js';
import type { EndIntent, Job, JobRecord, JobTransition } from './job-record.js';

/** Which parts of a record change apart: `job` never does. */
export interface EncodedJob {
  readonly job: Record<string, unknown>;
  readonly status: Record<string, unknown>;
}

export function encodeJob(record: JobRecord): EncodedJob {
  const { createdAtMs, deadlineMs, ...job } = record.job;
  const { end, reason } = record;
  return {
    job: { ...job, createdAt: time(createdAtMs), deadline: time(deadlineMs) },
    status: {
      state: record.state,
      ...(reason === undefined ? {} : { reason }),
      cluster: record.cluster,
      refusedBy: record.refusedBy,
      ...(record.jobFile === undefined
        ? {}
        : { jobFile: Buffer.from(record.jobFile).toString('base64') }),
      ...when('submittedAt', record.submittedAtMs),
      ...when('startedAt', record.startedAtMs),
      ...when('endedAt', record.endedAtMs),
      history: record.history.map(({ atMs, ...transition }) => ({ ...transition, at: time(atMs) })),
      attempt: record.attempt,
      ...(end === undefined ? {} : { end: { by: end.by, at: time(end.atMs), reason: end.reason } }),
      ...(record.applicationId === undefined ? {} : { applicationId: record.applicationId }),
      ...(record.rowCount === undefined ? {} : { rowCount: String(record.rowCount) }),
      logOfAttempt: record.logOfAttempt,
      swept: record.swept,
      epoch: record.epoch,
    },
  };
}

/** Without fields that this release does not know. Throws RecordSchemaError. */
export function decodeJob(encoded: unknown): JobRecord {
  const { job, status } = object(encoded, 'record');
  const s = object(status, 'status');
  const jobFile = optional(s, 'jobFile', nonEmpty);
  const end = optional(s, 'end', endOf);
  const reason = optional(s, 'reason', reasonOf);
  const rowCount = optional(s, 'rowCount', wholeNumber);
  const applicationId = optional(s, 'applicationId', nonEmpty);
  return {
    job: jobOf(job),
    cluster: nonEmpty(s['cluster'], 'status.cluster'),
    refusedBy: list(s['refusedBy'], 'status.refusedBy', nonEmpty),
    ...(jobFile === undefined ? {} : { jobFile: Buffer.from(jobFile, 'base64') }),
    ...moment(s, 'submittedAt', 'submittedAtMs'),
    ...moment(s, 'startedAt', 'startedAtMs'),
    ...moment(s, 'endedAt', 'endedAtMs'),
    state: oneOf(s['state'], jobStates, 'status.state'),
    ...(reason === undefined ? {} : { reason }),
    history: list(s['history'], 'status.history', transitionOf),
    attempt: number(s['attempt'], 'status.attempt'),
    ...(end === undefined ? {} : { end }),
    ...(applicationId === undefined ? {} : { applicationId }),
    ...(rowCount === undefined ? {} : { rowCount }),
    logOfAttempt: number(s['logOfAttempt'], 'status.logOfAttempt'),
    swept: s['swept'] === true,
    epoch: number(s['epoch'], 'status.epoch'),
  };
}

function jobOf(value: unknown): Job {
  const o = object(value, 'job');
  const image = optional(o, 'image', nonEmpty);
  const template = optional(o, 'template', nonEmpty);
  return {
    id: nonEmpty(o['id'], 'job.id'),
    namespace: nonEmpty(o['namespace'], 'job.namespace'),
    team: nonEmpty(o['team'], 'job.team'),
    environment: nonEmpty(o['environment'], 'job.environment'),
    user: nonEmpty(o['user'], 'job.user'),
    jobName: string(o['jobName'], 'job.jobName'),
    engineVersion: nonEmpty(o['engineVersion'], 'job.engineVersion'),
    ...(image === undefined ? {} : { image }),
    ...(template === undefined ? {} : { template }),
    resources: resourcesOf(o['resources'], 'job.resources'),
    outputPath: nonEmpty(o['outputPath'], 'job.outputPath'),
    retries: o['retries'] === true,
    ttlSeconds: number(o['ttlSeconds'], 'job.ttlSeconds'),
    fingerprint: nonEmpty(o['fingerprint'], 'job.fingerprint'),
    submittedBy: string(o['submittedBy'], 'job.submittedBy'),
    sandbox: o['sandbox'] === true,
    createdAtMs: milliseconds(o['createdAt'], 'job.createdAt'),
    deadlineMs: milliseconds(o['deadline'], 'job.deadline'),
  };
}

function resourcesOf(value: unknown, path: string): JobResources {
  const o = object(value, path);
  const driver = object(o['driver'], `${path}.driver`);
  const executor = object(o['executor'], `${path}.executor`);
  const dynamic = optional(o, 'dynamicAllocation', object);
  return {
    driver: {
      cores: number(driver['cores'], `${path}.driver.cores`),
      memory: nonEmpty(driver['memory'], `${path}.driver.memory`),
    },
    executor: {
      cores: number(executor['cores'], `${path}.executor.cores`),
      memory: nonEmpty(executor['memory'], `${path}.executor.memory`),
      instances: number(executor['instances'], `${path}.executor.instances`),
    },
    ...(dynamic === undefined
      ? {}
      : {
          dynamicAllocation: {
            minExecutors: number(dynamic['minExecutors'], `${path}.dynamicAllocation.minExecutors`),
            maxExecutors: number(dynamic['maxExecutors'], `${path}.dynamicAllocation.maxExecutors`),
          },
        }),
  };
}

function reasonOf(value: unknown, path: string): JobReason {
  const o = object(value, path);
  const step = optional(o, 'step', string);
  const line = optional(o, 'line', number);
  const column = optional(o, 'column', number);
  return {
    code: nonEmpty(o['code'], `${path}.code`),
    message: string(o['message'], `${path}.message`),
    ...(step === undefined ? {} : { step }),
    ...(line === undefined ? {} : { line }),
    ...(column === undefined ? {} : { column }),
  };
}

function transitionOf(value: unknown, path: string): JobTransition {
  const o = object(value, path);
  const reason = optional(o, 'reason', reasonOf);
  return {
    state: oneOf(o['state'], jobStates, `${path}.state`),
    atMs: milliseconds(o['at'], `${path}.at`),
    ...(reason === undefined ? {} : { reason }),
  };
}

function endOf(value: unknown, path: string): EndIntent {
  const o = object(value, path);
  return {
    by: oneOf(o['by'], ['user', 'leader'] as const, `${path}.by`),
    atMs: milliseconds(o['at'], `${path}.at`),
    reason: reasonOf(o['reason'], `${path}.reason`),
  };
}

function when(name: string, ms: number | undefined): Record<string, string> {
  return ms === undefined ? {} : { [name]: time(ms) };
}

function moment<Name extends string>(
  o: Record<string, unknown>,
  key: string,
  name: Name,
): { readonly [name in Name]?: number } {
  const ms = optional(o, key, milliseconds);
  // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- a computed key widens to string
  return (ms === undefined ? {} : { [name]: ms }) as { readonly [name in Name]?: number };
}

function time(ms: number): string {
  return new Date(ms).toISOString();
}

function milliseconds(value: unknown, path: string): number {
  const ms = typeof value === 'string' ? Date.parse(value) : NaN;
  return Number.isNaN(ms) ? fail(path, 'is no time') : ms;
}

function list<T>(value: unknown, path: string, parse: (value: unknown, path: string) => T): T[] {
  if (!Array.isArray(value)) fail(path, 'is not a list');
  return value.map((entry, index) => parse(entry, `${path}[${index}]`));
}

function wholeNumber(value: unknown, path: string): bigint {
  return typeof value === 'string' && /^-?\d{1,19}$/.test(value)
    ? BigInt(value)
    : fail(path, 'is no whole number');
}
