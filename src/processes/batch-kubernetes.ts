/** Batch jobs as applications of the Spark operator. */
import type { Logger } from 'pino';
import type { Clock } from '../model/clock.js';
import type { Leadership } from '../model/ledger.js';
import type { Settings } from '../settings/table.js';
import type { BatchPlace } from './batch.js';
import type { KubernetesAccess } from './kubernetes.js';

interface Context {
  readonly leadership: Leadership;
  readonly clock: Clock;
  readonly logger: Logger;
}

/** undefined: batch.output_url is not set. */
export function openKubernetesBatch(
  _settings: Settings,
  _access: KubernetesAccess,
  _context: Context,
): BatchPlace | undefined {
  return undefined;
}
