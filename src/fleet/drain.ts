/** What an operator does to a driver's service. */
import type { Clock } from '../model/clock.js';
import { withPhase } from '../model/driver-record.js';
import { isLeaving } from '../model/driver.js';
import { GatewayError } from '../model/errors.js';
import type { Ledger } from '../model/ledger.js';
import { hasSessions, isManaged } from './lifecycle.js';

interface Drained {
  readonly ledger: Pick<Ledger, 'get' | 'update'>;
  readonly clock: Clock;
}

/**
 * Takes a driver out of service: no new session from now on; the ones it has are ended at
 * `deadlineMs` (epoch), or never. Resolves when that is durable. Rejects with DRIVER_UNKNOWN.
 */
export async function drain(
  { ledger, clock }: Drained,
  uid: string,
  deadlineMs: number | undefined,
): Promise<void> {
  refuseUnknown(ledger, uid);
  await ledger.update(uid, (current) => {
    const { drainDeadlineMs, ...rest } = current;
    const done = current.phase === 'draining' && drainDeadlineMs === deadlineMs;
    if (done || isLeaving(current.phase)) return current;
    return {
      ...withPhase(rest, 'draining', clock.now(), 'It is drained by an operator.'),
      ...(deadlineMs === undefined ? {} : { drainDeadlineMs: deadlineMs }),
    };
  });
}

/**
 * Takes a drain back: the driver takes new sessions again, as far as its pool wants it. Resolves when
 * that is durable. Rejects with DRIVER_UNKNOWN, or with ARGUMENT_INVALID when it ends already.
 */
export async function undrain({ ledger, clock }: Drained, uid: string): Promise<void> {
  refuseUnknown(ledger, uid);
  await ledger.update(uid, (current) => {
    if (current.phase === 'expired' || current.phase === 'gone') {
      throw new GatewayError('ARGUMENT_INVALID', `Driver ${uid} ends already.`);
    }
    if (current.phase !== 'draining') return current;
    const { drainDeadlineMs: _taken, ...rest } = current;
    // One of someone else is looked at again before it takes a session.
    const idle = isManaged(current) ? 'available' : 'warming';
    return withPhase(rest, hasSessions(current) ? 'in_use' : idle, clock.now());
  });
}

function refuseUnknown(ledger: Drained['ledger'], uid: string): void {
  const record = ledger.get(uid);
  if (record && record.phase !== 'gone') return;
  throw new GatewayError('DRIVER_UNKNOWN', `There is no driver ${uid}.`);
}
