/** Which drivers Envoy may reach. An address is an identity to Envoy's pin, so it is never held by two drivers. */
import {
  hostPort,
  type DriverRecord,
  type ObservedDriver,
  type RoutableDriver,
} from '../model/driver.js';

export interface Routing {
  readonly routable: readonly RoutableDriver[];
  /** Drivers that answer but are not published, by uid, with the reason for people. */
  readonly withheld: ReadonlyMap<string, string>;
  /** Those of them whose address another live driver has. */
  readonly duplicated: ReadonlySet<string>;
}

/**
 * Every driver that has answered once and is not gone. A driver whose address is another's, or was
 * and may still be remembered by an Envoy or a sidecar (`forgotten` says false), is withheld.
 */
export function routing(
  records: Iterable<DriverRecord>,
  observed: (uid: string) => ObservedDriver | undefined,
  forgotten: (gone: DriverRecord) => boolean,
): Routing {
  const holders = new Map<string, string>();
  const claimants: DriverRecord[] = [];
  for (const record of records) {
    if (record.address === '') continue;
    if (record.phase === 'gone') {
      if (!forgotten(record)) {
        holders.set(
          hostPort(record.address, record.port),
          `${record.uid}, which is gone but not yet forgotten everywhere`,
        );
      }
    } else if (hasAnswered(record, observed(record.uid))) {
      claimants.push(record);
    }
  }

  const taken = new Map<string, string>();
  const routable: RoutableDriver[] = [];
  const withheld = new Map<string, string>();
  const duplicated = new Set<string>();
  for (const record of claimants.toSorted(byClaim)) {
    const address = hostPort(record.address, record.port);
    const holder = taken.get(address) ?? (isNewcomer(record) ? holders.get(address) : undefined);
    if (holder === undefined) {
      taken.set(address, record.uid);
      routable.push({
        uid: record.uid,
        namespace: record.namespace,
        address: record.address,
        port: record.port,
        draining: takesNoSession(record, observed(record.uid)),
      });
    } else {
      if (taken.has(address)) duplicated.add(record.uid);
      withheld.set(record.uid, `Withheld: its address ${address} is held by driver ${holder}.`);
    }
  }
  return { routable, withheld, duplicated };
}

/** Has never had a session, and was perhaps never published: nothing is lost by withholding it. */
function isNewcomer(record: DriverRecord): boolean {
  if (record.tenant !== undefined) return false;
  return record.phase !== 'available' && record.phase !== 'in_use';
}

function hasAnswered(record: DriverRecord, driver: ObservedDriver | undefined): boolean {
  if (!isNewcomer(record)) return true;
  return driver?.condition === 'ready' || driver?.condition === 'not_ready';
}

function takesNoSession(record: DriverRecord, driver: ObservedDriver | undefined): boolean {
  if (record.phase === 'draining' || record.phase === 'expired') return true;
  return driver?.condition === 'not_ready' || driver?.condition === 'terminating';
}

/** Who held the address first keeps it; the rest of the order only makes the answer stable. */
function byClaim(a: DriverRecord, b: DriverRecord): number {
  return (
    Number(isNewcomer(a)) - Number(isNewcomer(b)) ||
    a.createdAtMs - b.createdAtMs ||
    (a.uid < b.uid ? -1 : 1)
  );
}
