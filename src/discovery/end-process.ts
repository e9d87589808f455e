/** Ends a driver's process and whatever it started. */
import { setTimeout as sleep } from 'node:timers/promises';
import { isAlive, sessionMembers, signal, type ProcessId } from './proc.js';

const POLL_MS = 50;

/**
 * Asks the process to end (SIGTERM), makes it end after `graceMs` (SIGKILL), and then ends what is
 * left of the process session that it leads, such as Python workers. Resolves when it has ended.
 */
export async function endProcess(id: ProcessId, graceMs: number): Promise<void> {
  const members = await sessionMembers(id.pid);
  signal(id, 'SIGTERM');
  const killAtMs = performance.now() + graceMs;
  while (isAlive(id)) {
    if (performance.now() >= killAtMs) signal(id, 'SIGKILL');
    await sleep(POLL_MS);
  }
  for (const member of members) signal(member, 'SIGKILL');
}
