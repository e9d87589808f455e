import { readFileSync } from 'node:fs';
import { setTimeout as pause } from 'node:timers/promises';

/** Resolves when no live process has this id (a zombie counts as ended). The kernel tells nobody but the parent, so it is asked again and again. */
export async function processEnded(pid: number): Promise<void> {
  while (isAlive(pid)) await pause(10);
}

export function isAlive(pid: number): boolean {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
    return stat.slice(stat.lastIndexOf(')') + 2, stat.lastIndexOf(')') + 3) !== 'Z';
  } catch {
    return false;
  }
}
