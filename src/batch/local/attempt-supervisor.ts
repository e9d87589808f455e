/**
 * A program of its own, one for each attempt of a local job: runs it, stamps and bounds its log, passes on
 * SIGTERM, and writes down how it ended. It outlives the gateway, so that a restart loses neither.
 *
 *   node attempt-supervisor.js MARKER COMMAND_FILE
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { rm } from 'node:fs/promises';
import { constants } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { replaceFile } from '../../lib/files/files.js';
import { isObject } from '../../model/json.js';
import type { AttemptEnd } from './application-folders.js';
import { AttemptLogWriter } from './attempt-log.js';

/** What an attempt's supervisor is told to run. */
export interface AttemptCommand {
  readonly file: string;
  readonly args: readonly string[];
  readonly env: Readonly<Record<string, string>>;
  /** Said at the beginning of the log. */
  readonly notes: readonly string[];
  /** The attempt's files. */
  readonly folder: string;
  /** How long it may take to end when asked, before it is killed. */
  readonly graceMs: number;
  /** Of its log. */
  readonly mostLogBytes: number;
}

/** What is left of the process group may take so long to end by itself. */
const REST_MS = 5_000;
const POLL_MS = 50;

async function supervise(command: AttemptCommand): Promise<void> {
  const { file, args, env, folder, graceMs } = command;
  const startedAtMs = Date.now();
  const log = new AttemptLogWriter(join(folder, 'log'), command.mostLogBytes);
  for (const note of command.notes) log.say(note);
  let leader: number | undefined;
  let asked = false;
  const stop = () => {
    asked = true;
    signalGroup(leader, 'SIGTERM');
    setTimeout(() => signalGroup(leader, 'SIGKILL'), graceMs).unref();
  };
  process.on('SIGTERM', stop);
  const work = join(folder, 'work');
  const child = spawn(file, args, {
    cwd: work,
    env,
    // A process group, and a session, of its own: both can be ended as a whole.
    detached: true,
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  const streams = [child.stdout, child.stderr].map((source) => {
    const stream = log.stream();
    source.on('data', (chunk: Buffer) => stream.write(chunk));
    return stream;
  });
  leader = child.pid;
  if (asked) stop();
  const closed = once(child, 'close').catch(() => undefined);
  const { exitCode, failure } = await new Promise<Pick<AttemptEnd, 'exitCode' | 'failure'>>(
    (resolve) => {
      child.once('error', (error) => resolve({ exitCode: 127, failure: error.message }));
      child.once('exit', (code, signal) =>
        resolve({ exitCode: code ?? 128 + (signal ? constants.signals[signal] : 0) }),
      );
    },
  );
  const killAtMs = Date.now() + REST_MS;
  while (signalGroup(child.pid, 0) && Date.now() < killAtMs) await sleep(POLL_MS);
  signalGroup(child.pid, 'SIGKILL');
  // Its last words may still be in the pipes, which somebody outside of the group may hold open.
  await Promise.race([closed, sleep(REST_MS)]);
  for (const stream of streams) stream.end();
  if (failure !== undefined) log.say(`${file} could not be started: ${failure}`);
  log.close();
  await rm(work, { recursive: true, force: true, maxRetries: 5 }).catch(() => undefined);
  const end: AttemptEnd = {
    exitCode,
    startedAtMs,
    endedAtMs: Date.now(),
    ...(failure === undefined ? {} : { failure }),
  };
  await replaceFile(join(folder, 'end.json'), `${JSON.stringify(end)}\n`);
}

function isCommand(value: unknown): value is AttemptCommand {
  return isObject(value) && typeof value['file'] === 'string' && Array.isArray(value['args']);
}

/** Whether there was anybody to get it. */
function signalGroup(leader: number | undefined, name: NodeJS.Signals | 0): boolean {
  if (leader === undefined) return false;
  try {
    return process.kill(-leader, name);
  } catch {
    return false;
  }
}

// A terminal's own signals are not for a job.
for (const name of ['SIGHUP', 'SIGINT'] as const) process.on(name, () => undefined);
const [, , , commandFile = ''] = process.argv;
const command: unknown = JSON.parse(readFileSync(commandFile, 'utf8'));
if (!isCommand(command)) throw new Error(`${commandFile} is no command of an attempt`);
await supervise(command);
process.exit(0);
