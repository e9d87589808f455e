/** Spans of time as people read them. */

const units = [
  ['d', 86_400_000],
  ['h', 3_600_000],
  ['m', 60_000],
  ['s', 1000],
] as const;

/** The two largest units: `3d4h`, `12m5s`, `8s`. A clock that is behind shows `0s`. */
export function briefDuration(ms: number): string {
  let left = Math.max(0, ms);
  const parts: string[] = [];
  for (const [unit, size] of units) {
    const count = Math.floor(left / size);
    if (count === 0 && parts.length === 0) continue;
    if (count > 0) parts.push(`${count}${unit}`);
    left -= count * size;
    if (parts.length === 2 || (count === 0 && parts.length > 0)) break;
  }
  return parts.join('') || '0s';
}

/** How long ago `time` (RFC 3339) was. */
export function since(time: string, nowMs: number): string {
  return briefDuration(nowMs - Date.parse(time));
}
