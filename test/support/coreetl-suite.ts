/** Runs Python tests of coreetl/ (test/coreetl/python) with one PySpark. */
import { execFile } from 'node:child_process';
import { join } from 'node:path';
import { promisify } from 'node:util';
import type { ExecutionContext } from 'ava';
import { temporaryFolder } from './local-world.js';

const tests = join(process.cwd(), 'test/coreetl/python');

/** Without a Spark: what is pure. */
export const PURE = ['test_catalogs', 'test_failures', 'test_results'];
/** In one Spark. */
export const WITH_SPARK = ['spark_sandbox', 'spark_jobs'];

/** @param more environment */
export async function pythonTestsPass(
  t: ExecutionContext,
  python: string,
  modules: readonly string[],
  more: Readonly<Record<string, string>> = {},
): Promise<void> {
  // Spark leaves a warehouse where it stands.
  const cwd = await temporaryFolder(t);
  const { SPARK_HOME: _, ...inherited } = process.env;
  const env = { ...inherited, PYTHONPATH: tests, PYTHONDONTWRITEBYTECODE: '1', ...more };
  const ran = await promisify(execFile)(python, ['-m', 'unittest', ...modules], {
    cwd,
    env,
    maxBuffer: 2 ** 28,
  }).catch((error: unknown) => error);
  if (ran instanceof Error) {
    const output = 'stderr' in ran ? String(ran.stderr) : ran.message;
    // The summary of what failed is at the end, after what Spark has logged.
    t.fail(output.slice(Math.max(0, output.indexOf('\n====='))).slice(-20_000));
  } else {
    t.regex((ran as { readonly stderr: string }).stderr, /\nRan [1-9]\d* tests? in .*\n\nOK/);
  }
}
