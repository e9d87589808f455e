/** RPCs that Envoy counts and times by itself, as they make no record when they succeed. */

/** Upper ends of the buckets in which times of requests are counted, milliseconds. */
export const DURATION_BUCKETS_MS = [
  5, 10, 25, 50, 100, 250, 500, 1_000, 2_500, 5_000, 10_000, 30_000, 60_000, 120_000, 300_000,
] as const;

/** Of one namespace and method since its Envoy began to count. */
export interface EnvoyCounts {
  readonly namespace: string;
  readonly method: string;
  readonly succeeded: number;
  /** How many took how long: one for each of `DURATION_BUCKETS_MS` by itself, and one for what took longer. */
  readonly buckets: readonly number[];
  /** Of all that `buckets` counts together. */
  readonly totalMs: number;
}
