// Checks of the machine before anything is downloaded.
import { mkdirSync, statfsSync } from 'node:fs';
import { local, root } from './paths.js';
import { SetupError } from './setup-error.js';

const OLDEST_NODE = [20, 19];

/** @param {string} version such as `20.19.0` */
export function checkNode(version = process.versions.node) {
  const [major, minor] = version.split('.').map(Number);
  if (major > OLDEST_NODE[0] || (major === OLDEST_NODE[0] && minor >= OLDEST_NODE[1])) return;
  throw new SetupError(
    `Node ${version} is too old: install Node ${OLDEST_NODE.join('.')} or newer.`,
  );
}

/** @param {number} neededBytes what the steps to come will write */
export function checkDisk(neededBytes) {
  if (neededBytes === 0) return;
  mkdirSync(local, { recursive: true });
  const { bavail, bsize } = statfsSync(local);
  if (bavail * bsize >= neededBytes) return;
  throw new SetupError(
    `Not enough disk space in ${root}: ${gigabytes(bavail * bsize)} free, about ${gigabytes(neededBytes)} needed.`,
  );
}

function gigabytes(bytes) {
  return `${(bytes / 1e9).toFixed(1)} GB`;
}
