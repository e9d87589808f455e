/**
 * What the state of a job is, by its record, by what its backend shows and by what its own program has
 * reported. Pure. The rules:
 * - Success takes exit code 0, where that is known, and the program's own report that it has completed.
 * - Doubt is never FAILED: what cannot be seen or read is UNKNOWN, or what it was.
 * - An intent to end the job stands above all that its application does.
 */
import { hasEnded, type JobReason, type JobReport, type JobState } from '../model/job.js';
import type { ApplicationStatus } from './backend.js';
import { isSubmitted, type JobRecord } from './records/job-record.js';

/** What the backend shows: an application, surely none, or nothing that can be told now. */
export type Observation =
  | { readonly kind: 'application'; readonly status: ApplicationStatus }
  | { readonly kind: 'none' }
  | { readonly kind: 'doubt'; readonly reason: string };

/** What was found beside the output: a report of this job, surely none, nothing that can be told now; or nobody has looked. */
export type Reported = JobReport | 'none' | 'doubt' | 'not read';

export interface Verdict {
  readonly state: JobState;
  readonly reason?: JobReason;
  /** What the state is cannot be said without the report beside the output. */
  readonly wantsReport?: boolean;
  readonly rowCount?: bigint;
}

export function verdictOn(
  record: JobRecord,
  observation: Observation,
  reported: Reported,
): Verdict {
  if (hasEnded(record.state)) return { state: record.state, ...reasonIn(record) };
  if (record.end) return { state: record.state, reason: record.end.reason };
  if (observation.kind === 'doubt') {
    if (!isSubmitted(record)) return { state: 'PENDING', ...reasonIn(record) };
    return {
      state: 'UNKNOWN',
      reason: {
        code: 'STATE_UNCONFIRMED',
        message: `What the job does cannot be seen now: ${observation.reason}`,
      },
    };
  }
  if (observation.kind === 'none') {
    return isSubmitted(record) ? gone(reported) : { state: 'PENDING', ...reasonIn(record) };
  }
  const { status } = observation;
  switch (status.state) {
    case 'PENDING':
    case 'RUNNING':
    case 'UNKNOWN':
      return { state: status.state, ...(status.reason ? { reason: status.reason } : {}) };
    case 'SUCCEEDED':
      return succeeded(status, reported);
    case 'FAILED':
      return failed(status, reported);
  }
}

/** Its application ended well, as the backend says. */
function succeeded(status: ApplicationStatus, reported: Reported): Verdict {
  if (status.exitCode !== undefined && status.exitCode !== 0) return failed(status, reported);
  const report = reportOf(status, reported);
  if (report === 'not read') return { state: 'RUNNING', wantsReport: true };
  if (report === 'doubt') return unread();
  if (report !== 'none' && report.state === 'COMPLETED') return completed(report);
  if (report !== 'none' && report.state === 'FAILED') return failedBy(report);
  return {
    state: 'FAILED',
    reason: {
      code: 'RESULT_MISSING',
      message:
        'The driver ended with exit code 0, but the job has not reported that it is done: its results cannot be trusted.',
    },
  };
}

/** Its application failed, as the backend says, and no other attempt follows. */
function failed(status: ApplicationStatus, reported: Reported): Verdict {
  const report = reportOf(status, reported);
  if (report === 'not read') return { state: 'RUNNING', wantsReport: true };
  if (status.exitCode === undefined || status.exitCode === 0) {
    // The driver was gone before anybody saw how it ended: only the job itself can tell.
    if (report === 'doubt') return unread();
    if (report !== 'none' && report.state === 'COMPLETED' && (report.exitCode ?? 0) === 0) {
      return completed(report, status.reason?.message);
    }
  }
  if (typeof report === 'object' && report.state === 'FAILED') return failedBy(report);
  return { state: 'FAILED', reason: status.reason ?? endedWith(status.exitCode) };
}

/** There surely is no application any more, and nobody has seen it end. */
function gone(reported: Reported): Verdict {
  if (reported === 'not read') return { state: 'RUNNING', wantsReport: true };
  if (reported === 'doubt') return unread();
  if (typeof reported === 'object' && reported.state === 'COMPLETED') {
    return completed(reported, 'its application was deleted before its end was seen');
  }
  if (typeof reported === 'object' && reported.state === 'FAILED') return failedBy(reported);
  return {
    state: 'FAILED',
    reason: {
      code: 'APPLICATION_LOST',
      message:
        'Its application was deleted while it ran, and the job has not reported that it is done. Submit it again.',
    },
  };
}

/** That of this attempt: what the driver left behind, else what stands beside the output. */
function reportOf(status: ApplicationStatus, reported: Reported): Reported {
  const { report, applicationId } = status;
  if (report && report.state !== 'RUNNING') return report;
  if (typeof reported !== 'object' || applicationId === undefined) return reported;
  return reported.applicationId === applicationId ? reported : 'none';
}

function completed(report: JobReport, note?: string): Verdict {
  return {
    state: 'COMPLETED',
    ...(note === undefined
      ? {}
      : { reason: { code: 'END_UNSEEN', message: `The job reported that it is done; ${note}` } }),
    ...(report.rowCount === undefined ? {} : { rowCount: report.rowCount }),
  };
}

function failedBy({ reason, exitCode }: JobReport): Verdict {
  return { state: 'FAILED', reason: reason ?? endedWith(exitCode) };
}

function unread(): Verdict {
  return {
    state: 'UNKNOWN',
    reason: {
      code: 'RESULT_UNCONFIRMED',
      message: 'The job has ended, and what it reported cannot be read now.',
    },
  };
}

function endedWith(exitCode: number | undefined): JobReason {
  return exitCode === undefined
    ? { code: 'DRIVER_LOST', message: 'The driver is gone, and nobody has seen how it ended.' }
    : { code: 'DRIVER_FAILED', message: `The driver ended with exit code ${exitCode}.` };
}

function reasonIn({ reason }: JobRecord): { readonly reason?: JobReason } {
  return reason === undefined ? {} : { reason };
}
