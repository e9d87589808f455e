/**
 * The single writer of one machine. Epoch N is held by whoever made the file `epoch-N`; taking over
 * from a dead process is making `epoch-(N+1)`, which only one of two starters can. The highest file
 * is never removed, so epochs grow over restarts.
 */
import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { mkdir, readdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { readTextIfThere, createFile, replaceFile, syncFolder } from '../../lib/files/files.js';
import { GatewayError } from '../../model/errors.js';
import { isObject } from '../../model/json.js';
import type { Leadership } from '../../model/ledger.js';

interface Holder {
  readonly pid: number;
  /** Tells a process from a later one with the same pid. */
  readonly startedAt: string;
  readonly released: boolean;
}

export class FileLock implements Leadership {
  readonly #path: string;
  readonly #epoch: number;
  #held = true;

  private constructor(path: string, epoch: number) {
    this.#path = path;
    this.#epoch = epoch;
  }

  /** Takes the lock in `folder`. Rejects with SETTINGS_INVALID when a live process holds it. */
  static async acquire(folder: string): Promise<FileLock> {
    await mkdir(folder, { recursive: true, mode: 0o700 });
    for (;;) {
      const epoch = await tryNextEpoch(folder);
      if (epoch === undefined) continue;
      for (const lower of await epochs(folder)) {
        if (lower < epoch) await rm(epochFile(folder, lower), { force: true });
      }
      await syncFolder(folder);
      return new FileLock(epochFile(folder, epoch), epoch);
    }
  }

  epoch(): number | undefined {
    return this.#held ? this.#epoch : undefined;
  }

  /** Gives the lock up; the next one need not wait for this process to end. */
  async release(): Promise<void> {
    if (!this.#held) return;
    this.#held = false;
    await replaceFile(this.#path, holderText(true));
  }
}

/** The epoch won, or undefined when another starter moved in between: look again. */
async function tryNextEpoch(folder: string): Promise<number | undefined> {
  const highest = await highestEpoch(folder);
  if (highest > 0) {
    const holder = await readHolder(epochFile(folder, highest));
    if (!holder) return undefined;
    if (!holder.released && processStart(holder.pid) === holder.startedAt) {
      throw inUse(folder, holder.pid);
    }
  }
  const epoch = highest + 1;
  const path = epochFile(folder, epoch);
  if (!(await createFile(path, holderText(false)))) return undefined;
  // Another starter may have taken a higher epoch and removed the file that this one followed.
  if ((await highestEpoch(folder)) === epoch) return epoch;
  await rm(path, { force: true });
  return undefined;
}

function epochFile(folder: string, epoch: number): string {
  return join(folder, `epoch-${epoch}`);
}

async function epochs(folder: string): Promise<number[]> {
  const names = await readdir(folder);
  return names.flatMap((name) => {
    const match = /^epoch-(\d+)$/.exec(name);
    return match ? [Number(match[1])] : [];
  });
}

async function highestEpoch(folder: string): Promise<number> {
  return Math.max(0, ...(await epochs(folder)));
}

function holderText(released: boolean): string {
  const holder: Holder = {
    pid: process.pid,
    startedAt: processStart(process.pid) ?? '',
    released,
  };
  return `${JSON.stringify(holder)}\n`;
}

/** undefined when the file is no longer there. */
async function readHolder(path: string): Promise<Holder | undefined> {
  const text = await readTextIfThere(path);
  if (text === undefined) return undefined;
  try {
    const holder: unknown = JSON.parse(text);
    if (isObject(holder)) {
      const { pid, startedAt, released } = holder;
      if (typeof pid === 'number' && typeof startedAt === 'string') {
        return { pid, startedAt, released: released === true };
      }
    }
  } catch (error) {
    if (!(error instanceof SyntaxError)) throw error;
  }
  throw new GatewayError(
    'SETTINGS_INVALID',
    `The lock file ${path} cannot be read. If no other control plane runs on this machine, remove it and start again.`,
  );
}

function inUse(folder: string, pid: number): GatewayError {
  return new GatewayError(
    'SETTINGS_INVALID',
    `Another control plane (process ${pid}) works with ${folder}. Stop it first, or give this one a folder of its own.`,
  );
}

/** When the process began, in whatever form the system gives it; undefined when there is none. */
function processStart(pid: number): string | undefined {
  try {
    if (process.platform === 'linux') {
      const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
      // proc(5): the command name, in parentheses, may hold anything; starttime is field 22.
      const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
      const boot = readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim();
      return fields[0] === 'Z' ? undefined : `${boot}/${fields[19]}`;
    }
    return execFileSync('ps', ['-o', 'lstart=', '-p', String(pid)], { encoding: 'utf8' }).trim();
  } catch {
    return undefined;
  }
}
