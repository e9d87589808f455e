/** Drains the drivers that operators ask for in the spec of their records. */
import type { Logger } from 'pino';
import { reasonOf } from '../model/errors.js';
import type { PoolController } from '../pools/controller.js';
import type { ReplicaRecords } from './replica-records.js';

/** Looks whenever a record changes, and when this replica begins to lead. */
export function followDrains(
  records: Pick<ReplicaRecords, 'ledger' | 'leadership' | 'drains' | 'onChange' | 'onTerm'>,
  pools: Pick<PoolController, 'drain'>,
  logger: Logger,
): void {
  const look = () => {
    if (records.leadership.epoch() === undefined) return;
    for (const [uid, { deadlineMs }] of records.drains()) {
      const phase = records.ledger.get(uid)?.phase;
      if (phase === undefined || phase === 'expired' || phase === 'gone') continue;
      pools.drain(uid, deadlineMs).catch((error: unknown) => {
        logger.warn({ driver: uid, reason: reasonOf(error) }, 'a driver is not drained yet');
      });
    }
  };
  records.onChange(look);
  records.onTerm(look);
}
