/**
 * How often a property is tried: as often as it usually is, or TEST_RUNS times as often, where there is
 * time to look for what is rare.
 */
export function tries(usual: number): number {
  return Math.ceil(usual * Number(process.env['TEST_RUNS'] ?? 1));
}
