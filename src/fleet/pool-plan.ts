/** How many drivers a pool makes and which idle ones it gives up. */
import { isLeaving, type DriverRecord, type ObservedDriver } from '../model/driver.js';
import type { PoolPolicy } from '../model/policy.js';
import { hasSessions, isManaged, type Deadlines } from './lifecycle.js';

export interface PoolSituation {
  readonly policy: PoolPolicy;
  /** The namespace's records that are not gone, in the phases they are in now. */
  readonly records: readonly DriverRecord[];
  readonly observed: (uid: string) => ObservedDriver | undefined;
  /** Drivers asked for of which no record exists yet. */
  readonly coming: number;
  /** Drivers of ours that are given up and still exist: they take room until they are deleted. */
  readonly lingering: number;
  /** New sessions that wait for a driver. */
  readonly waiting: number;
  readonly failures: StartFailures | undefined;
  /** Whether the driver was made from a template that has changed since. */
  readonly outdated: (resource: string) => boolean;
  /** Whether this gateway can make drivers. */
  readonly canCreate: boolean;
}

export interface PoolPlan {
  readonly create: number;
  /** Idle drivers to give up, by uid, with the reason. */
  readonly expire: ReadonlyMap<string, string>;
}

export function planPool(situation: PoolSituation, deadlines: Deadlines): PoolPlan {
  const { policy, records, coming, lingering, waiting, failures, canCreate, outdated } = situation;
  const idle = records.filter((record) => record.phase === 'available' && !hasSessions(record));
  const isInDoubt = ({ uid }: DriverRecord) =>
    (situation.observed(uid)?.condition ?? 'in_doubt') === 'in_doubt';
  const fresh = idle.filter((record) => record.tenant === undefined);
  const answering = fresh.filter((r) => situation.observed(r.uid)?.condition === 'ready').length;
  const warming =
    coming + records.filter((record) => record.phase === 'warming' && isManaged(record)).length;
  // One whose node is gone uses nothing, and may stay for ever.
  const present = records.filter(({ uid }) => situation.observed(uid)?.overdue !== true);
  const total = present.length + coming + lingering;
  // A new template is tried with one driver more before idle ones of the old template go.
  const isOutdated = (record: DriverRecord) => isManaged(record) && outdated(record.resource);
  const rolling =
    canCreate && (failures === undefined || deadlines.passed(failures.retryAtMs))
      ? fresh.filter((record) => isOutdated(record) && !isInDoubt(record))
      : [];
  const surge = rolling.length > 0 ? 1 : 0;

  const atRisk = policy.onDriverLoss?.startReplacement === true ? countAtRisk(situation) : 0;
  const size = policy.size + atRisk;

  // A driver that does not answer keeps its place in the pool, but a waiting session cannot use it.
  const wanted = Math.max(
    size + surge + waiting - fresh.length - warming,
    waiting > 0 ? waiting - answering - warming : 0,
  );
  const room = policy.maximum - total;
  const leaving = lingering + present.filter(({ phase }) => isLeaving(phase)).length;
  let create = canCreate ? Math.max(0, Math.min(wanted, room)) : 0;
  if (create > 0 && failures !== undefined) {
    // After a failure one driver at a time shows whether the cause has gone.
    create = deadlines.passed(failures.retryAtMs) && warming === 0 ? 1 : 0;
  }

  const expire = new Map<string, string>();
  const giveUp = (candidates: readonly DriverRecord[], count: number, reason: string) => {
    for (const record of candidates.slice(0, Math.max(0, count))) expire.set(record.uid, reason);
  };
  const ours = idle
    .filter((record) => isManaged(record) && !isInDoubt(record))
    .toSorted((a, b) => a.phaseSinceMs - b.phaseSinceMs);
  const ofTenants = ours.filter((record) => record.tenant !== undefined);
  giveUp(ofTenants.filter(isOutdated), ofTenants.length, 'Its template has changed.');
  if (failures === undefined && warming === 0 && leaving === 0 && (answering > size || room <= 0)) {
    giveUp(rolling, 1, 'Its template has changed.');
  }
  const { idleTtlMs } = policy;
  if (idleTtlMs !== undefined) {
    const surplus = fresh.length + warming - size - waiting;
    const oldest = ours
      .filter((record) => record.tenant === undefined)
      .slice(0, Math.max(0, surplus));
    const overdue = [...oldest, ...ofTenants].filter((record) =>
      deadlines.passed(record.phaseSinceMs + idleTtlMs),
    );
    giveUp(overdue, overdue.length, 'It was idle and its pool has enough drivers.');
  }
  giveUp(
    [...ofTenants, ...ours.filter((record) => record.tenant === undefined)],
    total - leaving - policy.maximum,
    'Its pool is above its maximum.',
  );
  if (waiting > 0 && canCreate) {
    giveUp(
      ofTenants,
      Math.min(wanted, waiting) - Math.max(0, room) - leaving,
      'It makes room for a session that waits and may not share it.',
    );
  }
  return { create, expire };
}

/** Drivers with sessions that do not answer or are being ended. Of one in doubt nothing is concluded. */
function countAtRisk({ records, observed }: PoolSituation): number {
  return records.filter((record) => {
    const condition = observed(record.uid)?.condition ?? 'in_doubt';
    return hasSessions(record) && condition !== 'ready' && condition !== 'in_doubt';
  }).length;
}

/** What is remembered of a pool whose drivers fail to come up. */
export interface StartFailures {
  /** Attempts that failed in a row; drivers that fail together count as one. */
  readonly count: number;
  /** Why the last one failed, for people. */
  readonly reason: string;
  /** No driver is made before this moment. */
  readonly retryAtMs: number;
  /** What those drivers were made from: another template may do better. */
  readonly template: string | undefined;
}

const FIRST_DELAY_MS = 5_000;
const LONGEST_DELAY_MS = 5 * 60_000;

/** Doubles the pause with each attempt that fails, from 5 s to 5 min. */
export function afterFailure(
  previous: StartFailures | undefined,
  reason: string,
  template: string | undefined,
  nowMs: number,
): StartFailures {
  if (previous && nowMs < previous.retryAtMs) return { ...previous, reason, template };
  const count = (previous?.count ?? 0) + 1;
  const delayMs = Math.min(LONGEST_DELAY_MS, FIRST_DELAY_MS * 2 ** Math.min(count - 1, 20));
  return { count, reason, retryAtMs: nowMs + delayMs, template };
}
