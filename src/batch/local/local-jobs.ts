/**
 * Runs batch jobs as processes of this machine. Each attempt has a supervisor of its own, which outlives the
 * gateway; what is known is in files, so that the next one goes on with it.
 */
import { realpath } from 'node:fs/promises';
import type { Logger } from 'pino';
import { endProcess, type ProcessId } from '../../lib/child-processes/proc.js';
import type { Clock, Timer } from '../../model/clock.js';
import { GatewayError, reasonOf } from '../../model/errors.js';
import type { ApplicationStatus, BackendLogLine, JobToRun, LogRequest } from '../backend.js';
import { ApplicationFolders, attemptMarker, contentOf, findMarked } from './application-folders.js';
import { mayLive, startSupervisor, SUPERVISOR_MARGIN_MS } from './attempt-processes.js';
import type { AttemptCommand } from './attempt-supervisor.js';
import { LocalApplication } from './local-application.js';
import { readLocalLog } from './local-log.js';
import type { MakeJobCommand } from './spark-submit.js';

export interface LocalJobsOptions {
  /** Kept over restarts; made if missing. Holds people's manifests, so it is for the owner only. */
  readonly stateFolder: string;
  readonly makeCommand: MakeJobCommand;
  readonly clock: Clock;
  readonly log: Logger;
  /** How many jobs run at a time; the others wait. Default 2. */
  readonly atOnce?: number;
  /** Pause before a failed job is tried again. Default 10 s. */
  readonly retryPauseMs?: number;
  /** How long a job may take to end when asked, before it is killed. Default 20 s. */
  readonly graceMs?: number;
  /** Of an attempt's log. Default 16 MiB. */
  readonly mostLogBytes?: number;
  /** Called when a job may have changed. */
  readonly onChange: (namespace: string, id: string) => void;
}

/** How often processes that are not our children are looked at. */
const LOOK_MS = 500;

/** Only one may be open for a folder at a time. */
export class LocalJobs {
  readonly #o: LocalJobsOptions;
  readonly #folders: ApplicationFolders;
  readonly #applications = new Map<string, LocalApplication>();
  readonly #creating = new Map<string, Promise<void>>();
  readonly #deleting = new Map<string, Promise<void>>();
  readonly #closing = new AbortController();
  #timer: Timer | undefined;
  #looking: Promise<void> | undefined;
  #lookAgain = false;

  private constructor(options: LocalJobsOptions, folders: ApplicationFolders) {
    this.#o = options;
    this.#folders = folders;
  }

  /** Goes on with what an earlier process left: jobs that run, wait, or are to end. */
  static async open(options: LocalJobsOptions): Promise<LocalJobs> {
    await new ApplicationFolders(options.stateFolder).prepare();
    const folders = new ApplicationFolders(await realpath(options.stateFolder));
    const jobs = new LocalJobs(options, folders);
    await jobs.#load();
    return jobs;
  }

  /** Stops looking. The jobs live on. */
  async close(): Promise<void> {
    this.#closing.abort();
    this.#timer?.cancel();
    await this.#looking;
  }

  create(job: JobToRun): Promise<void> {
    const { id, namespace } = job;
    const content = contentOf(job.jobFile);
    const known = this.#applications.get(id)?.application;
    if (known) {
      if (known.content === content && known.job.namespace === namespace) return Promise.resolve();
      const text = `There is another job ${id} on this machine.`;
      return Promise.reject(new GatewayError('JOB_EXISTS', text));
    }
    const underWay = this.#creating.get(id);
    if (underWay) return underWay.then(() => this.create(job));
    const creation = this.#create(job, content).finally(() => this.#creating.delete(id));
    this.#creating.set(id, creation);
    return creation;
  }

  status(namespace: string, id: string): ApplicationStatus | undefined {
    const application = this.#find(namespace, id);
    return application && this.#statusOf(application);
  }

  *all(): Generator<ApplicationStatus, void> {
    for (const application of this.#applications.values()) yield this.#statusOf(application);
  }

  /** Resolves when the wish is durable; `remains` tells when it is done. */
  async delete(namespace: string, id: string): Promise<void> {
    await this.#creating.get(id)?.catch(() => undefined);
    const application = this.#find(namespace, id);
    if (!application) return;
    await this.#folders.markDeleted(id);
    this.#end(application);
  }

  async remains(namespace: string, id: string): Promise<boolean> {
    const application = this.#applications.get(id);
    if (application && application.application.job.namespace !== namespace) return false;
    if (application || this.#creating.has(id)) return true;
    return (await findMarked(this.#folders.root, id)).length > 0 || (await this.#folders.has(id));
  }

  logs(namespace: string, id: string, request: LogRequest): AsyncIterable<BackendLogLine> {
    const application = this.#find(namespace, id);
    return readLocalLog({
      request,
      clock: this.#o.clock,
      closing: this.#closing.signal,
      attempt: () => this.#find(namespace, id)?.attempt ?? application?.attempt ?? 0,
      path: (attempt) => this.#folders.attempt(id, attempt).log,
      hasEnded: () => {
        const found = this.#find(namespace, id);
        return found?.ended ?? true;
      },
    });
  }

  #find(namespace: string, id: string): LocalApplication | undefined {
    const found = this.#applications.get(id);
    return found?.application.job.namespace === namespace ? found : undefined;
  }

  async #create(job: JobToRun, content: string): Promise<void> {
    const { jobFile, ...rest } = job;
    const application = { job: rest, content, createdAtMs: this.#o.clock.now() };
    // A Spark that is not there is told to who asks, and not in a log.
    this.#o.makeCommand(this.#attemptToRun(new LocalApplication(application), 1));
    try {
      await this.#folders.write(application, jobFile);
    } catch (error) {
      await this.#folders.remove(job.id).catch(() => undefined);
      throw error;
    }
    this.#applications.set(job.id, new LocalApplication(application));
    this.#changed(job.namespace, job.id);
    this.#look();
  }

  async #load(): Promise<void> {
    const marked = await findMarked(this.#folders.root);
    const found = await this.#folders.readAll();
    for (const { application, attempts, deleting } of found) {
      const { id } = application.job;
      const live = marked.filter((entry) => entry.application === id);
      const attempt = Math.max(attempts, ...live.map((entry) => entry.attempt));
      const known = new LocalApplication(application, attempt);
      this.#applications.set(id, known);
      if (attempt > 0) {
        // The supervisor began first; of several, the others are its Spark.
        const own = live.filter((entry) => entry.attempt === attempt);
        known.supervisor = own.toSorted((a, b) => startOf(a.id) - startOf(b.id))[0]?.id;
        await this.#lookAt(known);
      }
      // A gateway ended between its claim and the start.
      await this.#folders.removeAttempt(id, attempt + 1);
      if (deleting) this.#end(known);
    }
    for (const { id, application } of marked) {
      if (this.#applications.has(application)) continue;
      this.#o.log.warn({ application, pid: id.pid }, 'ending a job whose folder is missing');
      await endProcess(id, this.#graceMs);
    }
    this.#look();
  }

  get #graceMs(): number {
    return this.#o.graceMs ?? 20_000;
  }

  /** Looks at everything now, or once more when the look that is under way is over. */
  #look(): void {
    if (this.#closing.signal.aborted) return;
    this.#timer?.cancel();
    if (this.#looking) {
      this.#lookAgain = true;
      return;
    }
    this.#looking = this.#lookAtAll()
      .catch((error: unknown) => {
        this.#o.log.warn({ err: error }, 'local jobs cannot be looked at; trying again');
      })
      .finally(() => {
        this.#looking = undefined;
        if (this.#closing.signal.aborted) return;
        if (this.#lookAgain) {
          this.#lookAgain = false;
          this.#look();
        } else {
          this.#timer = this.#o.clock.setTimer(LOOK_MS, () => this.#look());
        }
      });
  }

  async #lookAtAll(): Promise<void> {
    const { clock, atOnce = 2 } = this.#o;
    const nowMs = clock.now();
    for (const application of this.#applications.values()) {
      const { id, keptUntilMs } = application;
      if (this.#deleting.has(id)) continue;
      try {
        await this.#lookAt(application);
        if (keptUntilMs !== undefined && nowMs >= keptUntilMs) {
          await this.#folders.markDeleted(id);
          this.#end(application);
        }
      } catch (error) {
        // One that cannot be read holds up no other.
        this.#o.log.warn({ err: error, job: id }, 'a job cannot be looked at; trying again');
      }
    }
    const all = [...this.#applications.values()].filter(({ id }) => !this.#deleting.has(id));
    let running = all.filter((application) => application.running).length;
    for (const application of all) {
      if (running >= atOnce) break;
      if (!application.isDue(nowMs)) continue;
      running += 1;
      await this.#start(application);
    }
  }

  /** Compares what is known of an attempt with its files and processes. */
  async #lookAt(application: LocalApplication): Promise<void> {
    const { id, attempt } = application;
    if (!application.running) return;
    // Looked at before its file: it writes that first, and ends then.
    const alive = application.supervisor !== undefined && mayLive(application.supervisor);
    const end = await this.#folders.readEnd(id, attempt);
    // After the end: before that the job may still change it.
    const report = await this.#folders.readReport(id, attempt);
    const before = JSON.stringify(this.#statusOf(application), numbersAsText);
    application.reported(report);
    if (end) {
      application.attemptEnded(end, this.#o.clock.now(), this.#o.retryPauseMs ?? 10_000);
    } else if (!alive) {
      await this.#endLeftOvers(application);
      const nowMs = this.#o.clock.now();
      const unseen = {
        exitCode: null,
        startedAtMs: application.startedAtMs ?? nowMs,
        endedAtMs: nowMs,
      };
      await this.#folders.writeEnd(id, attempt, unseen);
      application.attemptEnded(unseen, nowMs, this.#o.retryPauseMs ?? 10_000);
    }
    if (!application.running) await this.#folders.removeWork(id, attempt);
    if (JSON.stringify(this.#statusOf(application), numbersAsText) !== before) {
      this.#changed(application.application.job.namespace, id);
    }
  }

  async #start(application: LocalApplication): Promise<void> {
    const { log, clock, makeCommand, mostLogBytes = 16 * 1024 * 1024 } = this.#o;
    const { id } = application;
    const attempt = application.attempt + 1;
    try {
      const run = this.#attemptToRun(application, attempt);
      const files = this.#folders.attempt(id, attempt);
      const command: AttemptCommand = {
        ...makeCommand(run),
        folder: files.folder,
        graceMs: this.#graceMs,
        mostLogBytes,
      };
      if (!(await this.#folders.beginAttempt(id, attempt, command))) {
        log.warn({ job: id, attempt }, 'another gateway has begun this attempt');
        return;
      }
      const supervisor = startSupervisor(
        run.marker,
        files.command,
        `${files.folder}/supervisor.log`,
        () => this.#look(),
      );
      application.attemptBegun(attempt, supervisor, clock.now());
      log.info({ job: id, attempt, pid: supervisor.pid }, 'job process started');
    } catch (error) {
      log.warn({ err: error, job: id, attempt }, 'a job could not be started');
      const nowMs = clock.now();
      application.attemptBegun(attempt, undefined, nowMs);
      const end = { exitCode: 127, startedAtMs: nowMs, endedAtMs: nowMs, failure: reasonOf(error) };
      application.attemptEnded(end, nowMs, this.#o.retryPauseMs ?? 10_000);
    }
    this.#changed(application.application.job.namespace, id);
  }

  #attemptToRun({ id, application }: LocalApplication, attempt: number) {
    const files = this.#folders.attempt(id, attempt);
    return {
      job: application.job,
      jobFile: this.#folders.jobFile(id),
      marker: attemptMarker(this.#folders.root, id, attempt),
      workFolder: files.work,
      reportFile: files.report,
    };
  }

  #statusOf(application: LocalApplication): ApplicationStatus {
    if (application.attempt > 0 || application.running) return application.status();
    const { atOnce = 2 } = this.#o;
    const before = [...this.#applications.values()].filter(
      (other) =>
        !other.ended && other.application.createdAtMs <= application.application.createdAtMs,
    );
    return application.status({
      code: 'QUEUED',
      message: `It waits for its turn: ${atOnce} jobs run at a time on this machine, and ${Math.max(0, before.length - 1)} came before it.`,
    });
  }

  #changed(namespace: string, id: string): void {
    if (!this.#closing.signal.aborted) this.#o.onChange(namespace, id);
  }

  /** Ends its processes and removes its folder; tried again until it is done. */
  #end(application: LocalApplication): void {
    const { id } = application;
    if (this.#deleting.has(id)) return;
    application.deleting = true;
    const { namespace } = application.application.job;
    this.#changed(namespace, id);
    const deletion = this.#endAll(application)
      .then(() => {
        this.#applications.delete(id);
        this.#changed(namespace, id);
      })
      .catch((error: unknown) => {
        this.#o.log.warn({ err: error, job: id }, 'a job could not be ended; trying again');
        this.#o.clock.setTimer(LOOK_MS, () => this.#end(application));
      })
      .finally(() => {
        this.#deleting.delete(id);
        this.#look();
      });
    this.#deleting.set(id, deletion);
  }

  async #endAll(application: LocalApplication): Promise<void> {
    // It may be starting something at this moment.
    await this.#looking?.catch(() => undefined);
    if (application.supervisor) {
      await endProcess(application.supervisor, this.#graceMs + SUPERVISOR_MARGIN_MS);
    }
    await this.#endLeftOvers(application);
    await this.#folders.remove(application.id);
  }

  /** What a supervisor that was killed has left. */
  async #endLeftOvers({ id }: LocalApplication): Promise<void> {
    const left = await findMarked(this.#folders.root, id);
    await Promise.all(left.map(({ id: process }) => endProcess(process, this.#graceMs)));
  }
}

function startOf({ startTime }: ProcessId): number {
  return Number(startTime);
}

function numbersAsText(_key: string, value: unknown): unknown {
  return typeof value === 'bigint' ? value.toString() : value;
}
