// ava loads this before each test file: how long each took goes to the file that TEST_TIMES names.
import { appendFileSync } from 'node:fs';
import { relative } from 'node:path';
import { fileURLToPath } from 'node:url';
import test from 'ava';

const log = process.env.TEST_TIMES;
if (log) {
  const startedAt = performance.now();
  process.on('exit', () => {
    const file = relative(process.cwd(), fileURLToPath(test.meta.file));
    appendFileSync(log, `${JSON.stringify({ file, ms: performance.now() - startedAt })}\n`);
  });
}
