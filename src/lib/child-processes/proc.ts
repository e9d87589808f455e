/** Processes of this machine as Linux's /proc shows them (proc(5)). */
import { readFileSync, statSync } from 'node:fs';
import { readdir, readFile, readlink } from 'node:fs/promises';
import { setImmediate as turn, setTimeout as sleep } from 'node:timers/promises';
import { hasCode } from '../../model/errors.js';

/** A process, told from a later one with the same id by its start. */
export interface ProcessId {
  readonly pid: number;
  /** Clock ticks since boot: field 22 of /proc/<pid>/stat. */
  readonly startTime: string;
}

interface ProcessStat extends ProcessId {
  readonly state: string;
  readonly session: number;
  readonly threads: number;
}

/** Fields of /proc/<pid>/stat; undefined when there is no such process. The name, field 2, may hold anything. */
function parseStat(pid: number, text: string): ProcessStat | undefined {
  const fields = text.slice(text.lastIndexOf(')') + 2).split(' ');
  const [state, session, threads, startTime] = [fields[0], fields[3], fields[17], fields[19]];
  if (state === undefined || session === undefined || startTime === undefined) return undefined;
  return { pid, state, session: Number(session), threads: Number(threads), startTime };
}

/** What this machine or process is out of when a read fails although there may be such a process. */
const SHORTAGES: ReadonlySet<unknown> = new Set(['EMFILE', 'ENFILE', 'ENOMEM']);

/** undefined: there is no such process, or it is not ours to look at. Throws when that is not known. */
function statOf(pid: number): ProcessStat | undefined {
  try {
    return parseStat(pid, readFileSync(`/proc/${pid}/stat`, 'utf8'));
  } catch (error) {
    if (isShortage(error)) throw error;
    return undefined;
  }
}

function isShortage(error: unknown): boolean {
  return error instanceof Error && 'code' in error && SHORTAGES.has(error.code);
}

/** The identity of a live process. Throws when it cannot be known now, as all functions here. */
export function processId(pid: number): ProcessId | undefined {
  const found = statOf(pid);
  return found && isLive(found) ? { pid, startTime: found.startTime } : undefined;
}

/** Whether exactly this process lives, or holds something still. A zombie has ended. */
export function isAlive(id: ProcessId): boolean {
  return processId(id.pid)?.startTime === id.startTime;
}

/** A zombie of several threads is only its first thread: until the others have ended, its ports answer. */
function isLive({ state, threads }: ProcessStat): boolean {
  return state !== 'X' && (state !== 'Z' || threads > 1);
}

/** Sends a signal if exactly this process lives. */
export function signal(id: ProcessId, name: NodeJS.Signals): void {
  if (!isAlive(id)) return;
  try {
    process.kill(id.pid, name);
  } catch (error) {
    if (!hasCode(error, 'ESRCH')) throw error;
  }
}

/** Command lines that are read in one turn of the event loop. */
const READ_AT_ONCE = 100;

async function pids(): Promise<number[]> {
  return (await readdir('/proc')).filter((name) => /^\d+$/.test(name)).map(Number);
}

/** Live processes in the session that `leader` leads, without the leader. */
export async function sessionMembers(leader: number): Promise<ProcessId[]> {
  return (await pids()).flatMap((pid) => {
    const found = statOf(pid);
    return found && pid !== leader && found.session === leader && isLive(found) ? [found] : [];
  });
}

/** Live processes of this user with an argument that begins with `prefix`, and the rest of that argument. */
export async function findByArgument(
  prefix: string,
): Promise<readonly { readonly id: ProcessId; readonly rest: string }[]> {
  const found: { id: ProcessId; rest: string }[] = [];
  const uid = process.getuid?.();
  for (const [at, pid] of (await pids()).entries()) {
    // The kernel answers at once, for a tenth of what asynchronous reads cost; other work goes on in between.
    if (at % READ_AT_ONCE === 0) await turn();
    try {
      const commandLine = readFileSync(`/proc/${pid}/cmdline`, 'utf8');
      const argument = commandLine.split('\0').find((text) => text.startsWith(prefix));
      if (argument === undefined || statSync(`/proc/${pid}`).uid !== uid) continue;
      const id = processId(pid);
      if (id) found.push({ id, rest: argument.slice(prefix.length) });
    } catch (error) {
      if (isShortage(error)) throw error;
      // It has ended meanwhile.
    }
  }
  return found;
}

/** Whether this process, or one in the session that it leads, listens on the TCP port. */
export async function listensOn({ pid }: ProcessId, port: number): Promise<boolean> {
  const sockets = await listeningSockets(port);
  if (sockets.size === 0) return false;
  if (await holdsAny(pid, sockets)) return true;
  for (const member of await sessionMembers(pid)) {
    if (await holdsAny(member.pid, sockets)) return true;
  }
  return false;
}

/** How /proc/net/tcp writes the state of a socket that listens: TCP_LISTEN of the kernel. */
const LISTEN = '0A';

/** Inodes of the sockets that listen on a TCP port of any local address. */
async function listeningSockets(port: number): Promise<ReadonlySet<string>> {
  const suffix = `:${port.toString(16).toUpperCase().padStart(4, '0')}`;
  const inodes = new Set<string>();
  for (const table of ['/proc/net/tcp', '/proc/net/tcp6']) {
    for (const line of (await readFile(table, 'utf8').catch(() => '')).split('\n')) {
      const [, local, , state, , , , , , inode] = line.trim().split(/\s+/);
      if (state === LISTEN && local?.endsWith(suffix) && inode) inodes.add(inode);
    }
  }
  return inodes;
}

async function holdsAny(pid: number, inodes: ReadonlySet<string>): Promise<boolean> {
  const folder = `/proc/${pid}/fd`;
  // It may end, and close files, while this looks.
  for (const name of await readdir(folder).catch(() => [])) {
    const target = await readlink(`${folder}/${name}`).catch(() => '');
    const inode = /^socket:\[(\d+)\]$/.exec(target)?.[1];
    if (inode !== undefined && inodes.has(inode)) return true;
  }
  return false;
}

// Ends a driver's process and whatever it started.

const POLL_MS = 50;

/**
 * Asks the process to end (SIGTERM), makes it end after `graceMs` (SIGKILL), and then ends what is
 * left of the process session that it leads, such as Python workers. Resolves when all have ended.
 */
export async function endProcess(id: ProcessId, graceMs: number): Promise<void> {
  // Read while it lives: afterwards its id could lead another session.
  let members = isAlive(id) ? await sessionMembers(id.pid) : [];
  const killAtMs = performance.now() + graceMs;
  signal(id, 'SIGTERM');
  while (isAlive(id)) {
    const now = await sessionMembers(id.pid);
    if (isAlive(id)) members = now;
    if (performance.now() >= killAtMs) signal(id, 'SIGKILL');
    await sleep(POLL_MS);
  }
  for (const member of members) signal(member, 'SIGKILL');
  while (members.some(isAlive)) await sleep(POLL_MS);
}
