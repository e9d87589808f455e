// Where things are in this checkout.
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

export const root = join(dirname(fileURLToPath(import.meta.url)), '../..');

/** A path inside the checkout. */
export function inRoot(...parts) {
  return join(root, ...parts);
}

/** Everything that is installed or written on this machine only; git-ignored. */
export const local = inRoot('.local');
export const logs = join(local, 'logs');
