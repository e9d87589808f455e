/** `values` in milliseconds, as text. */
export function percentiles(values: readonly number[]): string {
  const sorted = values.toSorted((a, b) => a - b);
  const percentile = (p: number) =>
    (sorted[Math.min(sorted.length - 1, Math.floor(p * sorted.length))] ?? 0).toFixed(1);
  return `p50 ${percentile(0.5)} ms, p99 ${percentile(0.99)} ms`;
}
