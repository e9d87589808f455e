import { setTimeout as pause } from 'node:timers/promises';
import { processId } from '../../src/lib/child-processes/proc.js';

/** Resolves when no live process has this id (a zombie counts as ended). The kernel tells nobody but the parent, so it is asked again and again. */
export async function processEnded(pid: number): Promise<void> {
  while (isAlive(pid)) await pause(10);
}

export function isAlive(pid: number): boolean {
  return processId(pid) !== undefined;
}
