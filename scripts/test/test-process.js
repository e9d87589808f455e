// ava loads this before each test file.
import { appendFileSync } from 'node:fs';
import { relative } from 'node:path';
import { fileURLToPath } from 'node:url';
import test from 'ava';

// How long each file took, and the processor time of its process, go to the file that TEST_TIMES names.
const log = process.env.TEST_TIMES;
const startedAt = performance.now();
process.on('exit', (code) => {
  if (log) {
    const file = relative(process.cwd(), fileURLToPath(test.meta.file));
    const { user, system } = process.cpuUsage();
    const times = { file, ms: performance.now() - startedAt, cpuMs: (user + system) / 1000 };
    appendFileSync(log, `${JSON.stringify(times)}\n`);
  }
  // All has been told by now. Node would close what is left open first, and where that cannot be closed
  // (test/support/spark-driver.ts has a case) it tries for ever: the run would stand still.
  process.reallyExit(code);
});
