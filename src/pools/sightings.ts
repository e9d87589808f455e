/** What discovery reported, checked: entries that cannot be believed are set apart and reported. */
import { isIP } from 'node:net';
import type { DriverRecord, DriverSource, ObservedDriver } from '../model/driver.js';
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
