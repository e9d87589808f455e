/** What is remembered of a pool whose drivers fail to come up. */
export interface StartFailures {
  /** Attempts that failed in a row; drivers that fail together count as one. */
  readonly count: number;
  /** Why the last one failed, for people. */
  readonly reason: string;
  /** No driver is made before this moment. */
  readonly retryAtMs: number;
}

const FIRST_DELAY_MS = 5_000;
const LONGEST_DELAY_MS = 5 * 60_000;

/** Doubles the pause with each attempt that fails, from 5 s to 5 min. */
export function afterFailure(
  previous: StartFailures | undefined,
  reason: string,
  nowMs: number,
): StartFailures {
  if (previous && nowMs < previous.retryAtMs) return { ...previous, reason };
  const count = (previous?.count ?? 0) + 1;
  const delayMs = Math.min(LONGEST_DELAY_MS, FIRST_DELAY_MS * 2 ** Math.min(count - 1, 20));
  return { count, reason, retryAtMs: nowMs + delayMs };
}
