import { setTimeout as pause } from 'node:timers/promises';

const POLL_MS = 25;

/**
 * Asks a process again and again until it is so; an answer that fails is not so. Rejects with `what`
 * was waited for, the last failure and the process's log.
 */
export async function until(
  isSo: () => Promise<boolean>,
  about: { readonly what: string; readonly patienceMs: number; readonly log: () => string },
): Promise<void> {
  const endMs = Date.now() + about.patienceMs;
  let failure: unknown;
  while (Date.now() < endMs) {
    try {
      if (await isSo()) return;
      failure = undefined;
    } catch (error) {
      failure = error;
    }
    await pause(POLL_MS);
  }
  throw new Error(`Waited in vain for ${about.what}: ${String(failure)}\n${about.log()}`);
}
