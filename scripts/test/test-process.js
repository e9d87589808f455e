// ava loads this before each test file.
import { appendFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { relative } from 'node:path';
import { fileURLToPath } from 'node:url';

const require = createRequire(import.meta.url);
const log = process.env.TEST_TIMES;
let since = { ms: 0, cpuMs: 0 };

/**
 * How long a file took, and its processor time, go to the file that TEST_TIMES names. The first file of a process
 * has the start of the process in it, and its imports those that later files need, too.
 */
export function fileEnded() {
  if (!log) return;
  // Not before: what this is may depend on the file (group-process.js).
  const test = require('ava');
  const { user, system } = process.cpuUsage();
  const now = { ms: performance.now(), cpuMs: (user + system) / 1000 };
  const file = relative(process.cwd(), fileURLToPath(test.meta.file));
  const times = { file, ms: now.ms - since.ms, cpuMs: now.cpuMs - since.cpuMs };
  since = now;
  appendFileSync(log, `${JSON.stringify(times)}\n`);
}

process.on('exit', (code) => {
  fileEnded();
  // All has been told by now. Node would close what is left open first, and where that cannot be closed
  // (test/support/spark-driver.ts has a case) it tries for ever: the run would stand still.
  // Where a module awaits for ever, Node has its exit code in process.exitCode only.
  process.reallyExit(process.exitCode ?? code);
});
