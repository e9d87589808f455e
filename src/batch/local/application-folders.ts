/** What is kept of local applications: a folder for each, with the job, and a folder for each attempt. */
import { createHash } from 'node:crypto';
import { mkdir, readdir, rm, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { createFile, readTextIfThere, replaceFile } from '../../lib/files/files.js';
import { findByArgument, type ProcessId } from '../../lib/child-processes/proc.js';
import { isObject } from '../../model/json.js';
import type { JobToRun } from '../backend.js';

/** An application as its file holds it. */
export interface Application {
  readonly job: Omit<JobToRun, 'jobFile'>;
  /** SHA-256 of the job file, in hex. */
  readonly content: string;
  readonly createdAtMs: number;
}

/** How an attempt ended, as its supervisor says. */
export interface AttemptEnd {
  /** As a shell says it: 128 + n for signal n; null where nobody has seen the end. */
  readonly exitCode: number | null;
  readonly startedAtMs: number;
  readonly endedAtMs: number;
  /** Why there was no process. */
  readonly failure?: string;
}

export interface AttemptFiles {
  readonly folder: string;
  /** What to run: an `AttemptCommand`. */
  readonly command: string;
  readonly log: string;
  readonly report: string;
  readonly end: string;
  /** The working folder of the process: scratch space, warehouse. */
  readonly work: string;
}

export interface FoundApplication {
  readonly application: Application;
  readonly deleting: boolean;
  /** Those that were begun. */
  readonly attempts: number;
}

export class ApplicationFolders {
  /** The real path: processes are found again by it. */
  readonly root: string;

  constructor(root: string) {
    this.root = root;
  }

  async prepare(): Promise<void> {
    await mkdir(join(this.root, 'applications'), { recursive: true, mode: 0o700 });
  }

  jobFile(id: string): string {
    return join(this.#folder(id), 'job.json.gz');
  }

  attempt(id: string, attempt: number): AttemptFiles {
    const folder = join(this.#folder(id), `attempt-${attempt}`);
    return {
      folder,
      command: join(folder, 'command.json'),
      log: join(folder, 'log'),
      report: join(folder, 'report.json'),
      end: join(folder, 'end.json'),
      work: join(folder, 'work'),
    };
  }

  /** The application is there once this resolves, and not before. */
  async write(application: Application, jobFile: Uint8Array): Promise<void> {
    const { id } = application.job;
    await mkdir(this.#folder(id), { recursive: true, mode: 0o700 });
    await replaceFile(this.jobFile(id), jobFile);
    await writeJson(this.#application(id), application);
  }

  /** Makes the deletion durable. */
  async markDeleted(id: string): Promise<void> {
    await replaceFile(join(this.#folder(id), 'deleted'), '');
  }

  /** Of several that begin an attempt, one gets true: a gateway that no longer leads may not know it yet. */
  async beginAttempt(id: string, attempt: number, command: unknown): Promise<boolean> {
    const files = this.attempt(id, attempt);
    await mkdir(files.work, { recursive: true, mode: 0o700 });
    return createFile(files.command, `${JSON.stringify(command)}\n`);
  }

  async removeAttempt(id: string, attempt: number): Promise<void> {
    await rm(this.attempt(id, attempt).folder, { recursive: true, force: true, maxRetries: 5 });
  }

  async writeEnd(id: string, attempt: number, end: AttemptEnd): Promise<void> {
    await writeJson(this.attempt(id, attempt).end, end);
  }

  async readEnd(id: string, attempt: number): Promise<AttemptEnd | undefined> {
    const end = await readJson(this.attempt(id, attempt).end);
    return isEnd(end) ? end : undefined;
  }

  /** What the job itself has said so far in this attempt. */
  readReport(id: string, attempt: number): Promise<string | undefined> {
    return readTextIfThere(this.attempt(id, attempt).report);
  }

  async removeWork(id: string, attempt: number): Promise<void> {
    await rm(this.attempt(id, attempt).work, { recursive: true, force: true, maxRetries: 5 });
  }

  async remove(id: string): Promise<void> {
    await rm(this.#folder(id), { recursive: true, force: true, maxRetries: 5 });
  }

  async has(id: string): Promise<boolean> {
    return (await readdir(join(this.root, 'applications'))).includes(id);
  }

  /** Every application; what is left of one whose creation was cut short is removed. */
  async readAll(): Promise<readonly FoundApplication[]> {
    const found: FoundApplication[] = [];
    for (const id of await readdir(join(this.root, 'applications'))) {
      const application = await readJson(this.#application(id));
      const names = await readdir(this.#folder(id));
      if (!isApplication(application, id)) {
        await this.remove(id);
        continue;
      }
      let attempts = 0;
      // A supervisor begins with its log: without one nothing was started.
      while (await isThere(this.attempt(id, attempts + 1).log)) attempts += 1;
      found.push({ application, deleting: names.includes('deleted'), attempts });
    }
    return found.toSorted((a, b) => a.application.createdAtMs - b.application.createdAtMs);
  }

  #folder(id: string): string {
    return join(this.root, 'applications', id);
  }

  #application(id: string): string {
    return join(this.#folder(id), 'application.json');
  }
}

export function contentOf(jobFile: Uint8Array): string {
  return createHash('sha256').update(jobFile).digest('hex');
}

async function isThere(path: string): Promise<boolean> {
  return (await stat(path).catch(() => undefined)) !== undefined;
}

function writeJson(path: string, value: unknown): Promise<void> {
  return replaceFile(path, `${JSON.stringify(value)}\n`);
}

async function readJson(path: string): Promise<unknown> {
  const text = await readTextIfThere(path);
  if (text === undefined) return undefined;
  try {
    return JSON.parse(text);
  } catch (error) {
    if (error instanceof SyntaxError) return undefined;
    throw error;
  }
}

function isApplication(value: unknown, id: string): value is Application {
  return (
    isObject(value) &&
    isObject(value['job']) &&
    value['job']['id'] === id &&
    typeof value['job']['namespace'] === 'string' &&
    typeof value['content'] === 'string' &&
    typeof value['createdAtMs'] === 'number'
  );
}

function isEnd(value: unknown): value is AttemptEnd {
  return (
    isObject(value) &&
    (typeof value['exitCode'] === 'number' || value['exitCode'] === null) &&
    typeof value['endedAtMs'] === 'number'
  );
}

// The argument by which an attempt's processes, its supervisor and its Spark, are found again after a
// restart of the gateway. It names the state folder: two gateways never touch each other's jobs.

const OPTION = 'spark.coreetl.attempt=';

export interface MarkedProcess {
  readonly id: ProcessId;
  readonly application: string;
  readonly attempt: number;
}

export function attemptMarker(root: string, application: string, attempt: number): string {
  return `${OPTION}${root}//${application}/${attempt}`;
}

/** Every live process that carries a marker of this folder, or only those of one application. */
export async function findMarked(
  root: string,
  application?: string,
): Promise<readonly MarkedProcess[]> {
  const prefix = application === undefined ? '' : `${application}/`;
  const found = await findByArgument(`${OPTION}${root}//${prefix}`);
  return found.flatMap(({ id, rest }) => {
    const [name = '', attempt = ''] = `${prefix}${rest}`.split('/');
    return name === '' ? [] : [{ id, application: name, attempt: Number(attempt) }];
  });
}
