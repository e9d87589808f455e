/** What a process costs (Linux: /proc), and on which core it runs. */
import { spawnSync } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';
import { availableParallelism } from 'node:os';

/** Microseconds of all its threads since it began; those that have ended are not in it. */
export function cpuMicros(pid: number): number {
  let nanoseconds = 0;
  for (const thread of readdirSync(`/proc/${pid}/task`)) {
    // proc(5): time on the processor, in nanoseconds, is the first of three.
    const [onProcessor = '0'] = readFileSync(`/proc/${pid}/task/${thread}/schedstat`, 'utf8').split(
      ' ',
    );
    nanoseconds += Number(onProcessor);
  }
  return nanoseconds / 1_000;
}

/** The command that runs another on one core, where the machine has several and can pin. */
export function onCore(core: number, command: readonly string[]): [string, ...string[]] {
  const canPin = availableParallelism() > 1 && spawnSync('taskset', ['-V']).status === 0;
  const [program = '', ...args] = canPin ? ['taskset', '-c', String(core), ...command] : command;
  return [program, ...args];
}
