import type { Settings } from './table.js';

/** Records of a running stream within one session TTL at least: one may be late, one may be lost. */
const RECORDS_IN_A_TTL = 3;

/**
 * How often Envoys report a stream that stays open, milliseconds: as `access_log.interval` says, but
 * so often that a query which runs longer than `session_ttl` never looks idle.
 */
export function accessLogIntervalMs(
  settings: Pick<Settings, 'accessLog' | 'sessionTtlMs'>,
): number {
  const { accessLog, sessionTtlMs } = settings;
  return Math.min(accessLog.intervalMs, Math.floor(sessionTtlMs / RECORDS_IN_A_TTL));
}
