/** Brings records in line with what discovery saw. */
import { asGone, withPhase } from '../model/driver-record.js';
import type { DriverRecord, ObservedDriver, RequestedDriver } from '../model/driver.js';

/** The record of a driver that is seen for the first time. */
export function firstRecord(
  driver: ObservedDriver,
  request: RequestedDriver | undefined,
  nowMs: number,
  epoch: number,
): DriverRecord {
  return {
    uid: driver.uid,
    instance: driver.instance,
    ...(driver.resource === undefined ? {} : { resource: driver.resource }),
    namespace: driver.namespace,
    ...(driver.variant === undefined ? {} : { variant: driver.variant }),
    address: driver.address,
    port: driver.port,
    ...(driver.cluster === undefined ? {} : { cluster: driver.cluster }),
    phase: 'warming',
    ...(driver.reason === undefined ? {} : { reason: driver.reason }),
    createdAtMs: request?.createdAtMs ?? nowMs,
    phaseSinceMs: nowMs,
    sessions: {},
    tombstones: {},
    epoch,
  };
}

/**
 * The record after a fresh read showed `driver`, or nothing. Gone is said only of a driver that is
 * absent from the read, has ended, or has another instance under its uid.
 */
export function follow(
  record: DriverRecord,
  driver: ObservedDriver | undefined,
  nowMs: number,
): DriverRecord {
  if (record.phase === 'gone') return record;
  if (!driver) {
    const reason = record.phase === 'expired' ? record.reason : undefined;
    return asGone(record, nowMs, reason ?? 'It does not exist any more.');
  }
  if (driver.condition === 'ended') {
    return asGone(record, nowMs, driver.reason ?? 'It has ended.');
  }
  if (record.instance !== '' && driver.instance !== '' && record.instance !== driver.instance) {
    return asGone(record, nowMs, 'It was restarted, and its sessions were lost with its memory.');
  }
  let next = record;
  if (record.instance === '' && driver.instance !== '') {
    next = { ...next, instance: driver.instance };
  }
  if (record.address === '' && driver.address !== '') {
    next = { ...next, address: driver.address, port: driver.port };
  }
  if (next.phase === 'draining' || next.phase === 'expired') return next;
  if (driver.address !== '' && (next.address !== driver.address || next.port !== driver.port)) {
    // Its sessions are pinned to the old address; only an end of the driver may end them.
    return withPhase(
      next,
      'draining',
      nowMs,
      `It moved to ${driver.address}:${driver.port} without a restart; it takes no new session.`,
    );
  }
  if (driver.condition === 'terminating') {
    return withPhase(next, 'draining', nowMs, driver.reason ?? 'It was asked to end.');
  }
  return next;
}

/**
 * The record of a driver that someone else runs and that is seen again after it was gone. Its ended
 * sessions stay ended; whose memory it holds is forgotten only if it is another instance.
 */
export function seenAgain(
  record: DriverRecord,
  driver: ObservedDriver,
  nowMs: number,
  epoch: number,
): DriverRecord {
  return {
    ...firstRecord(driver, undefined, nowMs, epoch),
    tombstones: record.tombstones,
    ...(record.tenant !== undefined && record.instance === driver.instance
      ? { tenant: record.tenant }
      : {}),
  };
}
