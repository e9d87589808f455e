/** What may be asked of batch jobs, done by the leader. */
import type { AuditSink } from '../model/audit.js';
import {
  type BatchIdentity,
  type JobAccess,
  LOCAL_SERVICE,
  type OwnedJob,
  ownerOf,
} from '../model/batch-policy.js';
import { GatewayError, toGatewayError } from '../model/errors.js';
import { hasEnded, type JobReason, type JobState } from '../model/job.js';
import type { Leadership } from '../model/ledger.js';
import type { PeerCertificate, Policy } from '../model/policy.js';
import { CERTIFICATE_ISSUER, NETWORK_ISSUER } from '../model/principal.js';
import { unpackLog } from './kept-log.js';
import { JobSubmitter, type JobSubmitterOptions, type Submission } from './job-submitter.js';
import type { JobKeeper } from './keeper.js';
import { type LogBatch, type LogPosition, streamLog } from './log-stream.js';
import { unknownJob } from './records/job-ledger.js';
import type { Job, JobRecord } from './records/job-record.js';
import { verdictOn } from './verdict.js';

export interface BatchJobsOptions extends JobSubmitterOptions {
  readonly keeper: Pick<JobKeeper, 'submitted' | 'look'>;
  readonly leadership: Leadership;
  readonly policy: () => Pick<Policy, 'service' | 'batch'>;
  readonly audit: Pick<AuditSink, 'adminAction'>;
  /** Spark's page of an application that has ended, with `{application_id}`. */
  readonly historyUrl: string | undefined;
  readonly onSubmitted?: (outcome: 'accepted' | 'duplicate' | 'refused') => void;
}

/** The service that calls the Runner, as its certificate says, and for whom it says to act. */
export interface BatchCaller extends PeerCertificate {
  /** Empty: the service acts for itself. */
  readonly user: string;
  readonly groups: readonly string[];
}

/** A job as those who may see it do. */
export interface JobView {
  readonly record: JobRecord;
  readonly state: JobState;
  readonly reason: JobReason | undefined;
  readonly attempt: number;
  readonly startedAtMs: number | undefined;
  readonly uiUrl: string | undefined;
}

export interface JobFilter {
  readonly team: string;
  readonly environment: string;
  readonly states: readonly string[];
  readonly mine: boolean;
  readonly pageSize: number;
  readonly pageToken: string;
}

const DEFAULT_PAGE = 50;
const LARGEST_PAGE = 500;
const MOST_LOG_LINES = 5_000;
const MOST_LOG_BYTES = 1024 * 1024;
const LOG_TIMEOUT_MS = 5_000;

export class BatchJobs {
  readonly #o: BatchJobsOptions;
  readonly #submitter: JobSubmitter;

  constructor(options: BatchJobsOptions) {
    this.#o = options;
    this.#submitter = new JobSubmitter(options);
  }

  /** Resolves when the job is durable. The same again is the same job. */
  async create(
    caller: BatchCaller,
    submission: Submission,
  ): Promise<{ readonly record: JobRecord; readonly made: boolean }> {
    this.#mustLead();
    const asker = this.#identify(caller);
    let id = '';
    const { team, environment } = submission;
    try {
      const made = await this.#submitter.submit(asker, submission, (known) => {
        id = known;
      });
      const { namespace } = made.record.job;
      this.#audit(asker, 'job.submit', id, { team, environment, namespace, duplicate: !made.made });
      this.#o.onSubmitted?.(made.made ? 'accepted' : 'duplicate');
      return made;
    } catch (error) {
      this.#audit(asker, 'job.submit', id, { team, environment }, error);
      this.#o.onSubmitted?.('refused');
      throw error;
    }
  }

  get(caller: BatchCaller, id: string): JobView {
    return this.#view(this.#visible(this.#identify(caller), id));
  }

  /** Resolves when it is durable that the job is to end. */
  async cancel(caller: BatchCaller, id: string): Promise<JobView> {
    const { ledger, clock, keeper } = this.#o;
    const asker = this.#identify(caller);
    try {
      const { job } = this.#visible(asker, id);
      if (this.#accessOf(asker)(job) !== 'cancel') {
        throw new GatewayError(
          'BATCH_REFUSED',
          `The policy lets ${ownerOf(asker)} see job ${id}, which is of ${job.user}, and not cancel it.`,
        );
      }
      const record = await ledger.update(id, (current) =>
        hasEnded(current.state) || current.end?.by === 'user'
          ? current
          : {
              ...current,
              end: {
                by: 'user',
                atMs: clock.now(),
                reason: { code: 'CANCELLED', message: `${ownerOf(asker)} cancelled it.` },
              },
            },
      );
      keeper.look(id);
      this.#audit(asker, 'job.cancel', id, {});
      return this.#view(record);
    } catch (error) {
      this.#audit(asker, 'job.cancel', id, {}, error);
      throw error;
    }
  }

  /** Newest first. */
  list(
    caller: BatchCaller,
    filter: JobFilter,
  ): { readonly jobs: readonly JobView[]; readonly next: string } {
    this.#mustLead();
    const asker = this.#identify(caller);
    const owner = ownerOf(asker);
    const accessOf = this.#accessOf(asker);
    const after = filter.pageToken === '' ? undefined : parseToken(filter.pageToken);
    const size = Math.min(filter.pageSize === 0 ? DEFAULT_PAGE : filter.pageSize, LARGEST_PAGE);
    const found: JobRecord[] = [];
    for (const record of this.#o.ledger.all()) {
      const { job } = record;
      if (filter.team !== '' && job.team !== filter.team) continue;
      if (filter.environment !== '' && job.environment !== filter.environment) continue;
      if (filter.mine && job.user !== owner) continue;
      if (after && compare(job, after) <= 0) continue;
      if (accessOf(job) !== 'none') found.push(record);
    }
    found.sort((a, b) => compare(a.job, b.job));
    const jobs: JobView[] = [];
    let next = '';
    for (const record of found) {
      const view = this.#view(record);
      if (filter.states.length > 0 && !filter.states.includes(view.state)) continue;
      if (jobs.length === size) {
        const last = jobs.at(-1)?.record.job;
        next = last ? formatToken(last) : '';
        break;
      }
      jobs.push(view);
    }
    return { jobs, next };
  }

  /** The last lines of the newest attempt, and whether there are lines before them. */
  async logTail(
    caller: BatchCaller,
    id: string,
    count: number,
  ): Promise<{ readonly lines: readonly string[]; readonly truncated: boolean }> {
    const record = this.#visible(this.#identify(caller), id);
    const most = Math.min(count, MOST_LOG_LINES);
    const gone = new AbortController();
    const limit = this.#o.clock.setTimer(LOG_TIMEOUT_MS, () => gone.abort());
    try {
      const live = await this.#liveTail(record, most + 1, gone.signal);
      const kept = live ?? (await this.#keptTail(record));
      return bounded(kept.lines, most, kept.truncated);
    } finally {
      limit.cancel();
    }
  }

  /** As streamLog. Rejects at once for a job that the caller may not see. */
  streamLog(
    caller: BatchCaller,
    id: string,
    options: {
      readonly after: LogPosition | undefined;
      readonly follow: boolean;
      readonly signal: AbortSignal;
    },
  ): AsyncGenerator<LogBatch, void> {
    const { ledger, backends, clock } = this.#o;
    const first = this.#visible(this.#identify(caller), id);
    const record = () => ledger.get(id) ?? first;
    const backend = () => backends.get(record().cluster);
    return streamLog(
      {
        state: () => this.#view(record()).state,
        liveAttempt: () => {
          const observation = backends.observe(record());
          return observation.kind === 'application' ? observation.status.attempt : undefined;
        },
        live: (request) => backend()?.logs(first.job.namespace, id, request) ?? nothing(),
        kept: async () => unpackLog(await ledger.readLog(id)),
        onChange: (listener) => {
          const stops = [ledger.onChange((changed) => changed === id && listener())];
          for (const one of backends) {
            stops.push(one.onChange((_, changed) => changed === id && listener()));
          }
          return () => stops.forEach((stop) => stop());
        },
      },
      { ...options, clock },
    );
  }

  #identify({ user, groups, ...certificate }: BatchCaller): BatchIdentity {
    return { service: this.#serviceOf(certificate), user, groups };
  }

  /** A Runner that asks nobody for a certificate is on its callers' own machine. */
  #serviceOf(certificate: PeerCertificate): string {
    const { uriSans, dnsSans, subject } = certificate;
    if (uriSans.length === 0 && dnsSans.length === 0 && subject === '') return LOCAL_SERVICE;
    const service = this.#o.policy().service(certificate);
    if (service) return service.principal.subject;
    throw new GatewayError(
      'CALLER_UNKNOWN',
      `The policy names no service with the certificate ${subject || [...uriSans, ...dnsSans].join(', ')}.`,
    );
  }

  #accessOf(identity: BatchIdentity): (job: Job) => JobAccess {
    const accessOf = this.#o.policy().batch?.accessOf(identity);
    return ({ user: owner, team, environment }) =>
      accessOf?.({ owner, team, environment } satisfies OwnedJob) ?? 'none';
  }

  /** What is not there and what is not theirs look the same. */
  #visible(asker: BatchIdentity, id: string): JobRecord {
    this.#mustLead();
    const { ledger } = this.#o;
    const record = ledger.get(id);
    if (record && this.#accessOf(asker)(record.job) !== 'none') return record;
    for (const unreadable of ledger.unreadable()) {
      if (unreadable.id !== id) continue;
      throw new GatewayError(
        'CONTROL_PLANE_UNAVAILABLE',
        `The record of job ${id} cannot be read; whoever runs the gateway is shown why.`,
      );
    }
    throw unknownJob(id);
  }

  #view(record: JobRecord): JobView {
    const observation = this.#o.backends.observe(record);
    const status = observation.kind === 'application' ? observation.status : undefined;
    const verdict = verdictOn(record, observation, 'not read');
    // An end is told when it is durable, and never taken back.
    const isSettled = !hasEnded(verdict.state) || hasEnded(record.state);
    const state = isSettled ? verdict.state : record.state;
    const reason = isSettled ? verdict.reason : record.reason;
    return {
      record,
      state,
      reason: reason ?? (state === 'PENDING' ? WAITING : undefined),
      attempt: Math.max(record.attempt, status?.attempt ?? 0),
      startedAtMs: record.startedAtMs ?? status?.startedAtMs,
      uiUrl: hasEnded(state) ? this.#historyUrl(record) : status?.uiUrl,
    };
  }

  #historyUrl({ applicationId }: JobRecord): string | undefined {
    if (applicationId === undefined) return undefined;
    return this.#o.historyUrl?.replaceAll('{application_id}', encodeURIComponent(applicationId));
  }

  async #liveTail(record: JobRecord, most: number, signal: AbortSignal) {
    const { backends } = this.#o;
    const { id, namespace } = record.job;
    const backend = backends.get(record.cluster);
    if (!backend || backends.observe(record).kind !== 'application') return undefined;
    const lines: string[] = [];
    try {
      for await (const line of backend.logs(namespace, id, { tail: most, follow: false, signal })) {
        lines.push(line.text);
        if (lines.length > most) lines.shift();
      }
    } catch (error) {
      if (lines.length === 0 && !signal.aborted) throw error;
    }
    return lines.length === 0 ? undefined : { lines, truncated: false };
  }

  async #keptTail({ job }: JobRecord) {
    const kept = (await unpackLog(await this.#o.ledger.readLog(job.id))).at(-1);
    return {
      lines: (kept?.lines ?? []).map(({ text }) => text),
      truncated: kept?.truncated ?? false,
    };
  }

  /** By which service, and for whom it said to act. */
  #audit(
    identity: BatchIdentity,
    action: 'job.submit' | 'job.cancel',
    object: string,
    detail: Readonly<Record<string, string | boolean>>,
    refusal?: unknown,
  ): void {
    this.#o.audit.adminAction({
      principal: {
        issuer: identity.service === LOCAL_SERVICE ? NETWORK_ISSUER : CERTIFICATE_ISSUER,
        subject: identity.service,
      },
      action,
      object,
      outcome: refusal === undefined ? 'done' : 'refused',
      ...(refusal === undefined ? {} : { code: toGatewayError(refusal).code }),
      detail: { user: ownerOf(identity), ...detail },
    });
  }

  #mustLead(): void {
    if (this.#o.leadership.epoch() !== undefined) return;
    throw new GatewayError('CONTROL_PLANE_UNAVAILABLE', 'This control plane does not lead now.', {
      retryAfterMs: 1_000,
    });
  }
}

const WAITING: JobReason = { code: 'SUBMITTING', message: 'It is about to be submitted.' };

function bounded(lines: readonly string[], most: number, truncated: boolean) {
  let bytes = 0;
  let from = lines.length;
  while (from > 0 && lines.length - from < most) {
    bytes += Buffer.byteLength(lines[from - 1] ?? '');
    if (bytes > MOST_LOG_BYTES) break;
    from -= 1;
  }
  return { lines: lines.slice(from), truncated: truncated || from > 0 };
}

async function* nothing(): AsyncGenerator<never, void> {}

// Pages: the order is that of creation, the newest first, and the id where two are of one moment.

interface PagePlace {
  readonly id: string;
  readonly createdAtMs: number;
}

function compare(a: PagePlace, b: PagePlace): number {
  return b.createdAtMs - a.createdAtMs || (a.id < b.id ? -1 : a.id > b.id ? 1 : 0);
}

function formatToken({ id, createdAtMs }: PagePlace): string {
  return Buffer.from(`${createdAtMs}.${id}`).toString('base64url');
}

function parseToken(token: string): PagePlace {
  const match = /^(\d{1,16})\.([a-z0-9-]{1,63})$/.exec(
    Buffer.from(token, 'base64url').toString('latin1'),
  );
  if (!match) {
    throw new GatewayError(
      'ARGUMENT_INVALID',
      'page_token is none that a list has answered with: leave it out to begin.',
    );
  }
  return { createdAtMs: Number(match[1]), id: match[2] ?? '' };
}
