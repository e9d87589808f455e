/** What a process has cost (Linux: /proc). */
import { readdirSync, readFileSync } from 'node:fs';

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
