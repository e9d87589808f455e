/** A Python program of test/e2e/python that runs by itself, as a person's script does. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { text } from 'node:stream/consumers';
import { fileURLToPath } from 'node:url';
import { pythonOf, type PySparkClientVersion } from './pyspark.js';

const folder = fileURLToPath(new URL('../../../test/e2e/python/', import.meta.url));

/** No script of a test takes so long; one that does is killed, and has no exit code. */
const LIMIT_MS = 240_000;

export interface PythonScript {
  /** As Ctrl-C does. */
  interrupt(): void;
  /** Ends it without warning. */
  kill(): void;
  readonly ended: Promise<{
    readonly exitCode: number | null;
    readonly output: string;
    readonly errors: string;
  }>;
}

/** Starts `name` with a PySpark of that version. */
export function runPython(
  version: PySparkClientVersion,
  name: string,
  args: readonly string[],
  variables: Readonly<Record<string, string>> = {},
): PythonScript {
  const child = spawn(pythonOf(version), ['-W', 'ignore', `${folder}${name}`, ...args], {
    stdio: ['ignore', 'pipe', 'pipe'],
    timeout: LIMIT_MS,
    killSignal: 'SIGKILL',
    env: { ...process.env, ...variables },
  });
  const output = text(child.stdout);
  const errors = text(child.stderr);
  return {
    interrupt: () => void child.kill('SIGINT'),
    kill: () => void child.kill('SIGKILL'),
    ended: once(child, 'close').then(async () => ({
      exitCode: child.exitCode,
      output: await output,
      errors: await errors,
    })),
  };
}
