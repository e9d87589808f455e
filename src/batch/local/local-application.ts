/** One local application: what is known of it, and what follows from that. Pure. */
import type { ProcessId } from '../../lib/child-processes/proc.js';
import { isObject } from '../../model/json.js';
import type { JobReason, JobReport } from '../../model/job.js';
import type { ApplicationStatus } from '../backend.js';
import { parseReport } from '../report.js';
import type { Application, AttemptEnd } from './application-folders.js';

/** After the first attempt. */
const RETRIES = 2;
/** Exit codes of coreetl_runner.py that come again with the same manifest. */
const FINAL_EXIT_CODES: ReadonlySet<number> = new Set([2, 11, 12]);

export class LocalApplication {
  readonly application: Application;
  /** Those that were begun. */
  attempt: number;
  supervisor: ProcessId | undefined;
  startedAtMs: number | undefined;
  deleting = false;
  #running: boolean;
  #end: AttemptEnd | undefined;
  #retryAtMs: number | undefined;
  #report: JobReport | undefined;
  #uiUrl: string | undefined;

  constructor(application: Application, attempts = 0) {
    this.application = application;
    this.attempt = attempts;
    this.#running = attempts > 0;
  }

  get id(): string {
    return this.application.job.id;
  }

  /** It has an attempt whose end is not known yet. */
  get running(): boolean {
    return this.#running;
  }

  /** No other attempt follows. */
  get ended(): boolean {
    return this.#end !== undefined && this.#retryAtMs === undefined;
  }

  /** When what is left of it is removed; undefined: not yet. */
  get keptUntilMs(): number | undefined {
    return this.ended && this.#end
      ? this.#end.endedAtMs + this.application.job.ttlSeconds * 1000
      : undefined;
  }

  /** Whether its next attempt is to begin as soon as there is room. */
  isDue(nowMs: number): boolean {
    if (this.#running || this.deleting) return false;
    return this.attempt === 0 || (this.#retryAtMs !== undefined && nowMs >= this.#retryAtMs);
  }

  attemptBegun(attempt: number, supervisor: ProcessId | undefined, nowMs: number): void {
    this.attempt = attempt;
    this.supervisor = supervisor;
    this.startedAtMs = nowMs;
    this.#running = true;
    this.#end = undefined;
    this.#retryAtMs = undefined;
    this.#report = undefined;
    this.#uiUrl = undefined;
  }

  /** `text`: what the job itself has written so far. */
  reported(text: string | undefined): void {
    if (text === undefined) return;
    this.#report = parseReport(text, this.id) ?? this.#report;
    this.#uiUrl = uiUrlIn(text) ?? this.#uiUrl;
  }

  attemptEnded(end: AttemptEnd, nowMs: number, retryPauseMs: number): void {
    this.#running = false;
    this.supervisor = undefined;
    this.startedAtMs = end.startedAtMs;
    this.#end = end;
    const { retries } = this.application.job;
    const done =
      end.exitCode === 0 || (end.exitCode !== null && FINAL_EXIT_CODES.has(end.exitCode));
    const again = retries && !done && !this.#completed && this.attempt <= RETRIES;
    this.#retryAtMs = again ? nowMs + retryPauseMs : undefined;
  }

  /** `waiting`: why it has not begun. */
  status(waiting?: JobReason): ApplicationStatus {
    const { id, namespace } = this.application.job;
    const base = {
      id,
      namespace,
      attempt: this.attempt,
      ...(this.#report ? { report: this.#report } : {}),
      ...(this.#report?.applicationId ? { applicationId: this.#report.applicationId } : {}),
      ...(this.startedAtMs === undefined ? {} : { startedAtMs: this.startedAtMs }),
    };
    if (this.#running) {
      return { ...base, state: 'RUNNING', ...(this.#uiUrl ? { uiUrl: this.#uiUrl } : {}) };
    }
    if (!this.#end) return { ...base, state: 'PENDING', ...(waiting ? { reason: waiting } : {}) };
    const { exitCode, endedAtMs } = this.#end;
    const reason = this.#report?.reason ?? endReason(this.#end);
    if (this.#retryAtMs !== undefined) {
      const message = `Attempt ${this.attempt} has failed and is repeated: ${reason.message}`;
      return { ...base, state: 'PENDING', retrying: true, reason: { code: 'RETRYING', message } };
    }
    const exit = exitCode === null ? {} : { exitCode };
    if (exitCode === 0 || (exitCode === null && this.#completed)) {
      return { ...base, ...exit, state: 'SUCCEEDED', endedAtMs };
    }
    return { ...base, ...exit, state: 'FAILED', reason, endedAtMs };
  }

  get #completed(): boolean {
    return this.#report?.state === 'COMPLETED';
  }
}

function endReason({ exitCode, failure }: AttemptEnd): JobReason {
  if (failure !== undefined) {
    return { code: 'DRIVER_START_FAILED', message: `The job could not be started: ${failure}` };
  }
  if (exitCode === null) {
    return {
      code: 'DRIVER_LOST',
      message:
        "The job's process has ended, and nobody has seen how: the machine was restarted, or its supervisor killed.",
    };
  }
  const how =
    exitCode === 137
      ? 'was killed (SIGKILL), perhaps for want of memory'
      : `ended with exit code ${exitCode}`;
  return { code: 'DRIVER_FAILED', message: `The job's process ${how}: its log may say why.` };
}

/** Spark's page, which the job's process listens for on this machine only. */
function uiUrlIn(text: string): string | undefined {
  try {
    const value: unknown = JSON.parse(text);
    const url = isObject(value) ? value['ui_url'] : undefined;
    return typeof url === 'string' && /^http:\/\/127\.0\.0\.1:\d{1,5}$/.test(url) ? url : undefined;
  } catch {
    return undefined;
  }
}
