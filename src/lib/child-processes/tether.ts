/**
 * Ties a child process to this one: it is asked to end (SIGTERM) when we say so, and also when we
 * die without saying anything, because its leash is a pipe that the kernel closes with us. One that
 * does not end is killed after a while, whether we live or not.
 */
import { spawn, type ChildProcess } from 'node:child_process';
import { closeSync, openSync } from 'node:fs';
import { createInterface } from 'node:readline';
import { Readable } from 'node:stream';

/**
 * Runs the command after the first argument, tells its pid on descriptor 3, ends it when standard
 * input closes, kills it if it lives on for as many seconds as the first argument says, exits as it
 * did. POSIX shell. A terminal's Ctrl-C does not reach the child: it is in a session of its own. Its
 * pid is not used again before the shell has waited for it, so that nothing else can be killed.
 */
const leashScript = `
grace=$1
shift
exec 4<&0 </dev/null
"$@" 3>&- 4<&- &
child=$!
echo "$child" >&3
exec 3>&-
(
  cat <&4 >/dev/null
  kill "$child" 2>/dev/null
  while [ "$grace" -gt 0 ]; do
    sleep 1
    kill -0 "$child" 2>/dev/null || exit 0
    grace=$((grace - 1))
  done
  kill -9 "$child" 2>/dev/null
) &
leash=$!
exec 4<&-
wait "$child"
status=$?
kill "$leash" 2>/dev/null
exit "$status"
`;

export interface TetheredProcess {
  /** Process id of the program itself. */
  readonly pid: Promise<number>;
  /** Resolves when it has ended: its exit status, 128 + n for signal n. */
  readonly ended: Promise<number>;
  /** Asks it to end; `graceMs` later it is killed. */
  release(): void;
  /** Ends it and everything in its process group, now. */
  kill(): void;
}

export interface TetherOptions {
  readonly command: string;
  readonly args: readonly string[];
  readonly env: NodeJS.ProcessEnv;
  /** Where its output goes; appended to. */
  readonly logFile: string;
  /** How long it may take to end when asked; 60 s by default. Counted in whole seconds. */
  readonly graceMs?: number;
}

const DEFAULT_GRACE_MS = 60_000;

export function startTethered(options: TetherOptions): TetheredProcess {
  const log = openSync(options.logFile, 'a', 0o600);
  let child: ChildProcess;
  try {
    const grace = String(Math.max(1, Math.ceil((options.graceMs ?? DEFAULT_GRACE_MS) / 1000)));
    const args = ['-c', leashScript, 'leash', grace, options.command, ...options.args];
    child = spawn('/bin/sh', args, {
      env: options.env,
      detached: true,
      stdio: ['pipe', log, log, 'pipe'],
    });
  } finally {
    closeSync(log);
  }
  const ended = new Promise<number>((resolve) => {
    child.on('error', () => resolve(127));
    child.on('exit', (code, signal) => resolve(code ?? (signal === 'SIGKILL' ? 137 : 143)));
  });
  child.stdin?.on('error', () => {});
  const kill = () => {
    if (child.pid === undefined) return;
    try {
      process.kill(-child.pid, 'SIGKILL');
    } catch {
      // Nothing of the group is left.
    }
  };
  return {
    pid: firstLine(child.stdio[3]).then(Number),
    // The leash outlives the program by a moment; nothing of it stays.
    ended: ended.then((status) => {
      kill();
      return status;
    }),
    release: () => child.stdin?.end(),
    kill,
  };
}

async function firstLine(stream: unknown): Promise<string> {
  if (!(stream instanceof Readable)) return '';
  for await (const line of createInterface({ input: stream })) return line;
  return '';
}
