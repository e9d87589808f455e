/** Processes of local jobs: a supervisor for each attempt, which outlives the gateway. */
import { spawn } from 'node:child_process';
import { closeSync, openSync } from 'node:fs';
import { realpath } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import { endProcess, isAlive, processId, type ProcessId } from '../../lib/child-processes/proc.js';
import { ApplicationFolders, findMarked } from './application-folders.js';

const SUPERVISOR = fileURLToPath(new URL('attempt-supervisor.js', import.meta.url));
/** The supervisor has some steps to do after its program has ended. */
export const SUPERVISOR_MARGIN_MS = 10_000;

/** Starts a supervisor that outlives this process. */
export function startSupervisor(
  marker: string,
  commandFile: string,
  ownLog: string,
  onEnd: () => void,
): ProcessId {
  const log = openSync(ownLog, 'a', 0o600);
  try {
    const child = spawn(process.execPath, [SUPERVISOR, marker, commandFile], {
      detached: true,
      stdio: ['ignore', log, log],
    });
    child.once('error', onEnd);
    child.once('exit', onEnd);
    child.unref();
    if (child.pid === undefined) throw new Error(`${process.execPath} could not be started`);
    try {
      // One that has ended already is kept as one that cannot be alive.
      return processId(child.pid) ?? { pid: child.pid, startTime: 'ended' };
    } catch (error) {
      child.kill('SIGKILL');
      throw error;
    }
  } finally {
    closeSync(log);
  }
}

/** Only one that has surely ended is taken for ended. */
export function mayLive(id: ProcessId): boolean {
  try {
    return isAlive(id);
  } catch {
    return true;
  }
}

/**
 * Ends every job of a state folder that runs now; those that wait are left. To be called when nobody has the
 * folder open; answers how many there were.
 */
export async function stopLocalBatch(stateFolder: string, graceMs = 10_000): Promise<number> {
  await new ApplicationFolders(stateFolder).prepare();
  const root = await realpath(stateFolder);
  const marked = await findMarked(root);
  await Promise.all(marked.map(({ id }) => endProcess(id, graceMs + SUPERVISOR_MARGIN_MS)));
  // Those whose supervisor was killed are in sessions of their own.
  for (const { id } of await findMarked(root)) await endProcess(id, graceMs);
  return new Set(marked.map(({ application }) => application)).size;
}
