/** The Playground's REST API: the shapes of its bodies, in JSON. Times are RFC 3339 text. */
import type { JobState } from './job.js';

/** What `POST submit` and `POST run` take. */
export interface SubmitBody {
  /** YAML. */
  readonly manifest: string;
  readonly environment: string;
  /** Left out: that of the manifest's metadata. */
  readonly team?: string;
  /** Left out: that of the manifest's metadata. */
  readonly job_name?: string;
  /** client_request_id, sandbox_mode, data_sampling, ttl_seconds. */
  readonly options?: Readonly<Record<string, string>>;
}

export interface SubmittedView {
  readonly job_id: string;
  /** The job was there already. */
  readonly duplicate?: true;
}

export interface JobReasonView {
  /** Stable, in capitals. */
  readonly code: string;
  readonly message: string;
  /** The step of the manifest that it is about. */
  readonly step?: string;
  /** Where in the manifest, counted from 1. */
  readonly line?: number;
  readonly column?: number;
}

export interface JobTransitionView {
  readonly state: JobState;
  readonly at: string;
  readonly reason?: Pick<JobReasonView, 'code' | 'message'>;
}

/** A job as lists show it. */
export interface JobView {
  readonly job_id: string;
  readonly state: JobState;
  readonly spark_ui_url: string | null;
  /** `CODE: message` of a job that did not complete. */
  readonly error: string | null;
  /** Why it is in its state: also what one that is PENDING waits for. */
  readonly reason: JobReasonView | null;
  readonly team: string;
  readonly environment: string;
  readonly namespace: string;
  readonly job_name: string;
  readonly user: string;
  readonly sandbox: boolean;
  /** Counted from 1; 0 before the first. */
  readonly attempt: number;
  readonly created_at: string;
  readonly started_at: string | null;
  readonly ended_at: string | null;
  /** When it is ended at the latest. */
  readonly deadline: string | null;
  /** Somebody has cancelled it, and it has not ended yet. */
  readonly cancelling: boolean;
  readonly output_path: string | null;
}

/** `GET status/{id}`. */
export interface JobStatusView extends JobView {
  /** The last lines. */
  readonly logs: string;
  /** There are lines before these. */
  readonly logs_truncated: boolean;
  readonly history: readonly JobTransitionView[];
}

/** `GET jobs`. */
export interface JobListView {
  /** Newest first. */
  readonly jobs: readonly JobView[];
  /** null: that was all. */
  readonly next_page_token: string | null;
}

export interface CancelView {
  /** false for a job that has completed or failed before. */
  readonly success: boolean;
}

/** `GET results/{id}`, of a job that has ended. */
export interface ResultsView {
  /** The first rows, at most 100; null: the job has left none. */
  readonly preview: PreviewView | null;
  /** Of all rows: text where a number of JSON would not be exact; null: not known. */
  readonly count: number | string | null;
  /** Spark's, as StructType.json() writes it; null: the job has left none. */
  readonly schema: unknown;
  readonly output_path: string;
  /** Why something of it is missing. */
  readonly problem?: string;
}

export interface PreviewView {
  readonly columns: readonly string[];
  /** int64 and decimals as text. */
  readonly rows: readonly (readonly unknown[])[];
  readonly truncated?: boolean;
}

/** `GET logs/{id}` of those who do not ask for an event stream. */
export interface LogView {
  readonly job_id: string;
  readonly state: JobState;
  readonly lines: readonly string[];
  readonly truncated: boolean;
}

/** What the events of a log stream carry, by their name. */
export interface LogEvents {
  /** Lines; the event's id is the position of the last one. */
  readonly log: readonly string[];
  readonly state: { readonly state: JobState };
  /** Some lines between the former `log` and the next one are lost. */
  readonly gap: Readonly<Record<string, never>>;
  /** The last event. */
  readonly end: { readonly state: JobState };
}

/** `GET samples`: an array of these. */
export interface SampleView {
  readonly name: string;
  readonly title: string;
  readonly manifest: string;
}

/** `POST validate`. */
export interface ValidateBody {
  readonly manifest: string;
  readonly team?: string;
  readonly environment?: string;
}

export interface ProblemPlaceView {
  readonly line: number;
  readonly column: number;
  readonly path: string;
  readonly message: string;
}

export interface ValidationView {
  readonly problems: readonly ProblemPlaceView[];
}

/** `GET options`: what the caller may choose from, as far as that is known. */
export interface ChoicesView {
  readonly teams: readonly string[];
  readonly environments: readonly string[];
  /** Those in which the sandbox is on if nobody says otherwise. */
  readonly sandbox_environments: readonly string[];
  readonly defaults: { readonly team: string | null; readonly environment: string | null };
  /** Whether manifests may name files of the machine that jobs run on. */
  readonly local_paths: boolean;
}

/** `GET me`. */
export interface PlaygroundMeView {
  readonly principal: { readonly issuer: string; readonly subject: string };
  readonly groups: readonly string[];
  readonly good_until: string;
  /** With a cookie: to be repeated in x-spark-console-token by what changes something. */
  readonly forgery_token?: string;
}

/** RFC 9457, application/problem+json. */
export interface ProblemView {
  readonly type: string;
  readonly title: string;
  readonly status: number;
  readonly detail: string;
  /** src/model/errors.ts. */
  readonly code: string;
  readonly errors?: readonly {
    readonly line?: number;
    readonly column?: number;
    readonly path: string;
    readonly detail: string;
  }[];
}
