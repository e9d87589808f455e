/** What discovery reported, checked: entries that cannot be believed are set apart and reported. */
import { isIP } from 'node:net';
import { asGone, withPhase } from '../model/driver-record.js';
import {
  type DriverRecord,
  type DriverSource,
  type ObservedDriver,
  isLeaving,
  type RequestedDriver,
} from '../model/driver.js';
import type { FleetProblem } from '../model/fleet-problem.js';

export interface Sightings {
  readonly drivers: ReadonlyMap<string, ObservedDriver>;
  /** Uids of which nothing is known or something contradictory was said: neither believed nor taken for an end. */
  readonly doubtful: ReadonlySet<string>;
  /** One for each entry left out. */
  readonly problems: readonly FleetProblem[];
}

/** `inDoubt`: uids of drivers that may exist although they were not seen. */
export function checkSightings(
  observed: readonly ObservedDriver[],
  inDoubt: readonly string[] = [],
): Sightings {
  const drivers = new Map<string, ObservedDriver>();
  const doubtful = new Set<string>(inDoubt);
  const problems: FleetProblem[] = [];
  for (const driver of observed) {
    const problem = drivers.has(driver.uid) ? 'its uid is reported twice' : problemOf(driver);
    if (problem === undefined) {
      drivers.set(driver.uid, { ...driver, address: canonicalAddress(driver.address) });
    } else {
      problems.push({
        kind: 'driver_contradictory',
        ...(driver.object ? { object: driver.object } : {}),
        message: `Driver ${driver.uid || '(without uid)'} in ${driver.namespace || '(no namespace)'} is left out: ${problem}.`,
      });
      doubtful.add(driver.uid);
    }
  }
  for (const uid of doubtful) drivers.delete(uid);
  return { drivers, doubtful, problems };
}

/** Uids of recorded drivers that were not seen, perhaps only because what they are in cannot be read. */
export function unread(
  records: Iterable<DriverRecord>,
  observed: readonly ObservedDriver[],
  sources: readonly DriverSource[],
): string[] {
  const seen = new Set(observed.map(({ uid }) => uid));
  return [...records]
    .filter((record) => !seen.has(record.uid))
    .filter((record) => sources.some((source) => source.inDoubt?.(record) === true))
    .map(({ uid }) => uid);
}

function problemOf(driver: ObservedDriver): string | undefined {
  if (driver.uid === '') return 'it has no uid';
  if (driver.namespace === '') return 'it has no namespace';
  if (driver.address !== '' && isIP(driver.address) === 0) {
    return `"${driver.address}" is not an IP address`;
  }
  if (!Number.isInteger(driver.port) || driver.port < 1 || driver.port > 65_535) {
    return `${driver.port} is not a port`;
  }
  return undefined;
}

/** Envoy's pin compares text, so an IPv6 address must be in its canonical form (RFC 5952). */
function canonicalAddress(address: string): string {
  if (isIP(address) !== 6) return address;
  return new URL(`http://[${address.split('%')[0]}]`).hostname.slice(1, -1);
}

// Brings records in line with what discovery saw.

/**
 * The record of a driver that is seen for the first time. `isNew`: whether it was waited for, so that
 * nobody can have used it. One of ours that is up already, of which there is no record any more, may
 * hold anybody's memory: it is drained.
 */
export function firstRecord(
  driver: ObservedDriver,
  request: RequestedDriver | undefined,
  isNew: boolean,
  nowMs: number,
  epoch: number,
): DriverRecord {
  const isUsed = !isNew && driver.resource !== undefined && driver.condition !== 'starting';
  const reason = isUsed
    ? 'Its record was lost, so nobody knows whose memory it holds.'
    : driver.reason;
  return {
    uid: driver.uid,
    instance: driver.instance,
    ...(driver.resource === undefined ? {} : { resource: driver.resource }),
    namespace: driver.namespace,
    ...(driver.variant === undefined ? {} : { variant: driver.variant }),
    address: driver.address,
    port: driver.port,
    ...(driver.cluster === undefined ? {} : { cluster: driver.cluster }),
    phase: isUsed ? 'draining' : 'warming',
    ...(reason === undefined ? {} : { reason }),
    createdAtMs: request?.createdAtMs ?? nowMs,
    phaseSinceMs: nowMs,
    sessions: {},
    tombstones: {},
    ...(isUsed ? { pastUnknown: true } : {}),
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
    const reason = isLeaving(record.phase) ? record.reason : undefined;
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
  if (next.phase === 'draining' || isLeaving(next.phase)) return next;
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
    ...firstRecord(driver, undefined, true, nowMs, epoch),
    tombstones: record.tombstones,
    ...(record.tenant !== undefined && record.instance === driver.instance
      ? { tenant: record.tenant }
      : {}),
  };
}
