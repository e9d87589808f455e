// Runs a command with its output in a log file; a failure shows the end of it.
import { spawn } from 'node:child_process';
import { createWriteStream, mkdirSync } from 'node:fs';
import { join, relative } from 'node:path';
import { createInterface } from 'node:readline';
import { logs, root } from './paths.js';
import { SetupError } from './setup-error.js';

const TAIL_LINES = 15;

/**
 * @param {string} name of the log file
 * @param {string} command
 * @param {readonly string[]} args
 * @param {{env?: object, onLine?: (line: string) => void, append?: boolean, cwd?: string}} [options]
 */
export async function runLogged(name, command, args, { env, onLine, append, cwd = root } = {}) {
  mkdirSync(logs, { recursive: true });
  const logFile = join(logs, `${name}.log`);
  const log = createWriteStream(logFile, { flags: append ? 'a' : 'w' });
  const child = spawn(command, args, {
    cwd,
    env: { ...process.env, ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  const tail = [];
  for (const stream of [child.stdout, child.stderr]) {
    createInterface({ input: stream }).on('line', (line) => {
      log.write(`${line}\n`);
      tail.push(line);
      if (tail.length > TAIL_LINES) tail.shift();
      onLine?.(line);
    });
  }
  const status = await new Promise((resolve) => {
    child.once('error', (error) => resolve(error.message));
    child.once('close', (code, signal) => resolve(code === 0 ? undefined : (signal ?? code)));
  });
  await new Promise((resolve) => log.end(resolve));
  if (status === undefined) return;
  if (tail.length > 0) console.error(tail.map((line) => `  | ${line}`).join('\n'));
  throw new SetupError(
    `${[command, ...args].slice(0, 3).join(' ')} failed (${status}); the whole log is ${relative(process.cwd(), logFile)}`,
  );
}
