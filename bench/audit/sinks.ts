/** Where audit records go in the benchmark: settings, and what takes or does not take them. */
import { type ChildProcess, fork, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, constants, openSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

export interface Sink {
  readonly name: string;
  /** Nothing takes records: they are to be dropped, and nobody is to wait. */
  readonly stalled?: true;
  open(folder: string): Promise<OpenSink>;
}

export interface OpenSink {
  readonly overrides: readonly (readonly [string, string])[];
  /** Standard output of the control plane: a file descriptor, or nothing. */
  readonly stdout: number | 'ignore';
  close(): Promise<void>;
}

const quiet = ['audit.stdout', 'false'] as const;

export const sinks: readonly Sink[] = [
  {
    name: 'none',
    open: () =>
      Promise.resolve({ overrides: [quiet], stdout: 'ignore', close: () => Promise.resolve() }),
  },
  { name: 'standard output, a pipe that is read', open: (folder) => pipe(folder, 'read') },
  { name: 'file, fsync within a second', open: (folder) => file(folder, 'second') },
  { name: 'file, fsync for each batch', open: (folder) => file(folder, 'batch') },
  { name: 'OTLP', open: () => collector('answering') },
  { name: 'a pipe that nobody reads', stalled: true, open: (folder) => pipe(folder, 'unread') },
  { name: 'OTLP, no answer', stalled: true, open: () => collector('silent') },
];

/** As a container's standard output is. Opened for reading and writing, a pipe needs no reader. */
function pipe(folder: string, how: 'read' | 'unread'): Promise<OpenSink> {
  const path = join(folder, 'pipe');
  spawnSync('mkfifo', [path]);
  const stdout = openSync(path, constants.O_RDWR);
  const reader = how === 'read' ? spawn('cat', [path], { stdio: 'ignore' }) : undefined;
  return Promise.resolve({
    overrides: [],
    stdout,
    async close() {
      closeSync(stdout);
      await ended(reader);
    },
  });
}

function file(folder: string, sync: 'second' | 'batch'): Promise<OpenSink> {
  return Promise.resolve({
    overrides: [quiet, ['audit.file', join(folder, 'audit.log')], ['audit.file_sync', sync]],
    stdout: 'ignore',
    close: () => Promise.resolve(),
  });
}

async function collector(how: 'answering' | 'silent'): Promise<OpenSink> {
  const child = fork(fileURLToPath(new URL('collector.js', import.meta.url)), [how]);
  const [{ port }] = (await once(child, 'message')) as [{ readonly port: number }];
  return {
    overrides: [quiet, ['audit.otlp', 'true'], ['otlp.endpoint', `http://127.0.0.1:${port}`]],
    stdout: 'ignore',
    close: () => ended(child),
  };
}

/** Kills it, and resolves when it has ended. */
export async function ended(child: ChildProcess | undefined): Promise<void> {
  if (!child || child.exitCode !== null || child.signalCode !== null) return;
  const exit = once(child, 'exit');
  child.kill('SIGKILL');
  await exit;
}
