/** Ends a driver's process and whatever it started. */
import { setTimeout as sleep } from 'node:timers/promises';
import { isAlive, sessionMembers, signal, type ProcessId } from './proc.js';

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
