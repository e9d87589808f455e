/** Numbers and times for people. */

const STEPS: readonly (readonly [string, number])[] = [
  ['d', 86_400],
  ['h', 3_600],
  ['min', 60],
];

/** `3 min`, `2 h 5 min`: the two greatest units that matter. */
export function duration(ms: number): string {
  const seconds = Math.max(0, Math.floor(ms / 1000));
  for (const [at, [unit, size]] of STEPS.entries()) {
    if (seconds < size) continue;
    const whole = Math.floor(seconds / size);
    const [nextUnit, nextSize] = STEPS[at + 1] ?? ['s', 1];
    const rest = Math.floor((seconds % size) / nextSize);
    return rest === 0 || unit === 'min'
      ? `${whole} ${unit}`
      : `${whole} ${unit} ${rest} ${nextUnit}`;
  }
  return `${seconds} s`;
}

/** `4 ms`, `1.25 s`. */
export function latency(ms: number): string {
  if (ms < 1000) return `${ms < 10 ? Math.round(ms * 10) / 10 : Math.round(ms)} ms`;
  return `${Math.round(ms / 10) / 100} s`;
}

export function ago(iso: string, nowMs: number): string {
  const passed = nowMs - Date.parse(iso);
  return passed < 1000 ? 'now' : `${duration(passed)} ago`;
}

/** In the reader's time zone. */
export function clockTime(iso: string): string {
  return new Date(iso).toLocaleTimeString(undefined, { hour12: false });
}

export function dateAndTime(iso: string): string {
  return new Date(iso).toLocaleString(undefined, { hour12: false });
}

export function count(n: number, one: string, many = `${one}s`): string {
  return `${n.toLocaleString('en')} ${n === 1 ? one : many}`;
}

/** Enough of a long id to tell it from others; the whole is shown on its own page. */
export function shortId(id: string): string {
  return id.length > 24 ? `${id.slice(0, 13)}…${id.slice(-4)}` : id;
}
