/** A batch job: a complete manifest that runs once. Words that the gateway, the Runner and the Playground share. */

/** As the Runner's callers see it. */
export const jobStates = [
  'PENDING',
  'RUNNING',
  'COMPLETED',
  'FAILED',
  'CANCELLED',
  'UNKNOWN',
] as const;
export type JobState = (typeof jobStates)[number];

/** A state of a newer release is a doubt. */
export function jobStateOf(text: string): JobState {
  return jobStates.find((state) => state === text) ?? 'UNKNOWN';
}

/** States that a job never leaves. */
export function hasEnded(state: JobState): boolean {
  return state === 'COMPLETED' || state === 'FAILED' || state === 'CANCELLED';
}

/** Why a job is in its state. */
export interface JobReason {
  /** Stable, in capitals: DEADLINE_EXCEEDED, IMAGE_PULL_FAILED, SQL_INVALID … */
  readonly code: string;
  /** What is wrong and what to do; never a secret. */
  readonly message: string;
  /** The step of the manifest that it is about. */
  readonly step?: string;
  /** Where in the manifest, counted from 1. */
  readonly line?: number;
  readonly column?: number;
}

/** As messages of spark_gateway.v1 have a reason: empty texts and zeros for what is not known. */
export interface ToldReason {
  readonly reasonCode: string;
  readonly reason: string;
  readonly step?: string;
  readonly line?: number;
  readonly column?: number;
}

export function jobReasonOf(told: ToldReason): JobReason | undefined {
  const { reasonCode: code, reason: message, step = '', line = 0, column = 0 } = told;
  if (code === '' && message === '') return undefined;
  return {
    code,
    message,
    ...(step === '' ? {} : { step }),
    ...(line === 0 ? {} : { line, column: Math.max(1, column) }),
  };
}

/** `CODE: message (step "x", line 12)`: why a job did not complete; empty for one that may, or did. */
export function jobErrorText(state: JobState, reason: JobReason | undefined): string {
  if (!reason || state === 'PENDING' || state === 'RUNNING' || state === 'COMPLETED') return '';
  const place = [
    ...(reason.step === undefined ? [] : [`step ${JSON.stringify(reason.step)}`]),
    ...(reason.line === undefined ? [] : [`line ${reason.line}`]),
  ].join(', ');
  const text = [reason.code, reason.message].filter((part) => part !== '').join(': ');
  return place === '' ? text : `${text} (${place})`;
}

/**
 * What the job's own program says at its end, in `_status.json` beside the output and in the
 * container's termination message (at most 4 KiB). Written by coreetl/coreetl_runner.py.
 */
export interface JobReport {
  readonly jobId: string;
  /** Spark's application id: tells one attempt's report from another's. */
  readonly applicationId: string;
  readonly state: 'RUNNING' | 'COMPLETED' | 'FAILED';
  readonly exitCode?: number;
  readonly reason?: JobReason;
  /** Rows of the last named result; undefined: not known. */
  readonly rowCount?: bigint;
}

/** What a job is given. Memory as Spark writes it: 512m, 4g. */
export interface JobResources {
  readonly driver: { readonly cores: number; readonly memory: string };
  readonly executor: {
    readonly cores: number;
    readonly memory: string;
    /** At its start; without dynamic allocation, to its end. */
    readonly instances: number;
  };
  readonly dynamicAllocation?: { readonly minExecutors: number; readonly maxExecutors: number };
}

/** MiB of memory as Spark writes it. */
export function memoryMib(memory: string): number {
  return Number(memory.slice(0, -1)) * (memory.endsWith('g') ? 1024 : 1);
}

/** Where people try things out: the sandbox is on if nobody says otherwise, and what fails is not tried again. */
export function isPlayground(environment: string): boolean {
  return environment === 'local' || environment === 'test';
}

/** Where a manifest says nothing. */
export const usualResources: JobResources = {
  driver: { cores: 2, memory: '4g' },
  executor: { cores: 2, memory: '4g', instances: 2 },
  dynamicAllocation: { minExecutors: 1, maxExecutors: 10 },
};

/** How old a job becomes at most, seconds, where neither its options nor settings say otherwise. */
export const USUAL_TTL_SECONDS = 3600;
