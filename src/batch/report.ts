/** What a job's own program says at its end, as it stands in `_status.json` and in the termination message. */
import type { JobReason, JobReport } from '../model/job.js';
import { isObject } from '../model/json.js';
import { cut } from '../model/telling-line.js';

export const STATUS_FILE = '_status.json';
/** What the program writes at most. */
export const LARGEST_STATUS_BYTES = 64 * 1024;

const STATES = ['RUNNING', 'COMPLETED', 'FAILED'] as const;
const LONGEST_CODE = 100;
const LONGEST_MESSAGE = 2_000;

/** undefined: it is no report of this job. Others may write to the place that it is read from. */
export function parseReport(text: string, jobId: string): JobReport | undefined {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    return undefined;
  }
  if (!isObject(value) || value['format'] !== 1 || value['job_id'] !== jobId) return undefined;
  const { application_id: applicationId, exit_code: exitCode, row_count: rows } = value;
  const state = STATES.find((candidate) => candidate === value['state']);
  if (!state || typeof applicationId !== 'string') return undefined;
  const reason = reasonOf(value);
  return {
    jobId,
    applicationId,
    state,
    ...(typeof exitCode === 'number' ? { exitCode } : {}),
    ...(reason ? { reason } : {}),
    ...(typeof rows === 'string' && /^\d{1,19}$/.test(rows) ? { rowCount: BigInt(rows) } : {}),
  };
}

function reasonOf(value: Record<string, unknown>): JobReason | undefined {
  const { code, message, step, line, column } = value;
  if (typeof code !== 'string' || code === '') return undefined;
  return {
    code: cut(code, LONGEST_CODE),
    message: cut(typeof message === 'string' ? message : '', LONGEST_MESSAGE),
    ...(typeof step === 'string' && step !== '' ? { step: cut(step, LONGEST_CODE) } : {}),
    ...(isPlace(line) ? { line } : {}),
    ...(isPlace(column) ? { column } : {}),
  };
}

function isPlace(value: unknown): value is number {
  return typeof value === 'number' && Number.isSafeInteger(value) && value > 0;
}
