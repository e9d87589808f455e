// One set-up at a time in a checkout: `npm start` and `npm run demo` may be typed together.
import { mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { local } from './paths.js';

const lockFile = join(local, 'setup.lock');
const POLL_MS = 300;

/** Runs `work` while holding the lock; waits for another process that holds it. */
export async function withSetupLock(work) {
  mkdirSync(local, { recursive: true });
  let told = false;
  for (let holder = take(); holder !== undefined; holder = take()) {
    if (!told) console.log(`waiting for the set-up that process ${holder} is doing`);
    told = true;
    await pause(POLL_MS);
  }
  process.once('exit', release);
  try {
    return await work();
  } finally {
    process.off('exit', release);
    release();
  }
}

function release() {
  rmSync(lockFile, { force: true });
}

/** Takes the lock, or returns the id of the living process that holds it. */
function take() {
  try {
    writeFileSync(lockFile, String(process.pid), { flag: 'wx' });
    return undefined;
  } catch (error) {
    if (error.code !== 'EEXIST') throw error;
  }
  const holder = readHolder();
  if (holder !== undefined && isAlive(holder)) return holder;
  rmSync(lockFile, { force: true });
  return take();
}

function readHolder() {
  try {
    return Number(readFileSync(lockFile, 'utf8')) || undefined;
  } catch {
    return undefined;
  }
}

function isAlive(pid) {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return error.code === 'EPERM';
  }
}
