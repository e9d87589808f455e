/** Where applications of batch jobs run: a Kubernetes cluster with the Spark operator, or this machine. */
import type { JobReason, JobReport, JobResources } from '../model/job.js';

/** Everything that an application is made from; equal values make equal applications. */
export interface JobToRun {
  /** DNS-1035, at most 40 characters: the name of everything that is made for the job. */
  readonly id: string;
  readonly namespace: string;
  readonly team: string;
  readonly environment: string;
  readonly user: string;
  readonly jobName: string;
  /** What coreetl_runner.py reads, gzipped JSON (docs/decisions/batch.md). */
  readonly jobFile: Uint8Array;
  /** Spark's release, as `spec.engine.version` of the manifest names it. */
  readonly engineVersion: string;
  /** The image that the policy wants for it, where there are images; left out: that of the settings. */
  readonly image?: string;
  /** The template that the policy wants it made from; left out: what the settings say of every job. */
  readonly template?: string;
  readonly resources: JobResources;
  /** A file:// or s3:// URL. */
  readonly outputPath: string;
  /** Tried again when it fails. */
  readonly retries: boolean;
  /** Kept for so long after its end, seconds. */
  readonly ttlSeconds: number;
}

/** An application as its backend sees it now. */
export interface ApplicationStatus {
  readonly id: string;
  readonly namespace: string;
  /** SUCCEEDED and FAILED are of the last attempt: no other follows. */
  readonly state: 'PENDING' | 'RUNNING' | 'SUCCEEDED' | 'FAILED' | 'UNKNOWN';
  /** Counted from 1; 0 before the first. */
  readonly attempt: number;
  /** What it waits for, or what failed, as far as the backend knows. */
  readonly reason?: JobReason;
  /** The newest attempt has failed and another follows: what is left of it, its log too, is about to go. */
  readonly retrying?: boolean;
  readonly exitCode?: number;
  /** Spark's id of the newest attempt, where the backend knows it; a report of another attempt says nothing of this one. */
  readonly applicationId?: string;
  /** What the job's own program said at its end, if it could. */
  readonly report?: JobReport;
  /** Spark's own page, while it runs. */
  readonly uiUrl?: string;
  readonly startedAtMs?: number;
  readonly endedAtMs?: number;
}

export interface BackendLogLine {
  readonly attempt: number;
  /** RFC 3339 with nanoseconds. */
  readonly time: string;
  readonly text: string;
}

export interface LogRequest {
  /** Lines at this time and later; those at the same time are for the caller to compare. */
  readonly since?: string;
  /** The last lines only. */
  readonly tail?: number;
  /** Goes on until the application has ended. */
  readonly follow: boolean;
  readonly signal: AbortSignal;
}

/**
 * Every call is idempotent. A rejection with a status of doubt (UNAVAILABLE) leaves open what was
 * done; any other means that it was refused for good and says why.
 */
export interface BatchBackend {
  /** As records name it: the cluster, or `local`. */
  readonly name: string;
  /** Makes what is missing of the application. One of the same id that is not ours rejects with JOB_EXISTS. */
  create(job: JobToRun): Promise<void>;
  /** Whether jobs can be made there now, as far as is known. */
  available(namespace: string): boolean;
  /** What is known now, from a watch that is kept; undefined: there surely is none. Throws while that is in doubt. */
  status(namespace: string, id: string): ApplicationStatus | undefined;
  /** All applications of this gateway that are known now, and what is left of some: such as pods whose application is gone. */
  all(): Iterable<ApplicationStatus>;
  /** Calls back when an application may have changed. Returns a function that ends it. */
  onChange(listener: (namespace: string, id: string) => void): () => void;
  /** Asks for the end of the application and of whatever belongs to it. */
  delete(namespace: string, id: string): Promise<void>;
  /** Whether something of it is still there, read afresh: the application, or a process or pod of it. */
  remains(namespace: string, id: string): Promise<boolean>;
  /** The log of the newest attempt. Ends without an error when there is none (yet, or any more). */
  logs(namespace: string, id: string, request: LogRequest): AsyncIterable<BackendLogLine>;
  close(): Promise<void>;
}
