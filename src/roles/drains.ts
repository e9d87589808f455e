/** Drains the drivers that operators ask for in the spec of their records. */
import type { Logger } from 'pino';
import { reasonOf } from '../model/errors.js';
import type { PoolController } from '../pools/controller.js';
import type { DrainRequest } from '../records/kubernetes-mirror.js';
import type { ReplicaRecords } from './replica-records.js';

/** Looks when the record changes, when this replica begins to lead, and again with each look at the pools. */
export function followDrains(
  records: Pick<ReplicaRecords, 'ledger' | 'leadership' | 'drains' | 'onChange' | 'onTerm'>,
  pools: Pick<PoolController, 'drain' | 'onLook'>,
  logger: Logger,
): void {
  const drain = (uid: string, { deadlineMs }: DrainRequest) => {
    const record = records.ledger.get(uid);
    if (!record || record.phase === 'expired' || record.phase === 'gone') return;
    if (record.phase === 'draining' && record.drainDeadlineMs === deadlineMs) return;
    pools.drain(uid, deadlineMs).catch((error: unknown) => {
      logger.warn({ driver: uid, reason: reasonOf(error) }, 'a driver is not drained yet');
    });
  };
  const look = (changed?: string) => {
    if (records.leadership.epoch() === undefined) return;
    for (const [uid, request] of records.drains()) {
      if (changed === undefined || changed === uid) drain(uid, request);
    }
  };
  records.onChange(look);
  records.onTerm(() => look());
  pools.onLook(() => look());
}
