import type { Logger } from 'pino';
import type { AccessRecord } from './record.js';

/** Writes the audit line of an RPC that has ended: who did what, where, and how it went. */
export function audit(logger: Logger, record: AccessRecord): void {
  if (record.kind !== 'ended') return;
  const { kind: _, streamId, details, ...rest } = record;
  logger.info(
    { ...rest, requestId: streamId, ...(details === 'via_upstream' ? {} : { details }) },
    'rpc',
  );
}
