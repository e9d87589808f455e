/** Which drivers Envoy may reach. An address is an identity to Envoy's pin, so it is never held by two drivers. */
import type { Clock } from '../model/clock.js';
import {
  hostPort,
  isLeaving,
  type DriverRecord,
  type ObservedDriver,
  type RoutableDriver,
} from '../model/driver.js';
import type { EnvoyFleet } from '../model/pool.js';

export interface Routing {
  readonly routable: readonly RoutableDriver[];
  /** Drivers that answer but are not published, by uid, with the reason for people. */
  readonly withheld: ReadonlyMap<string, string>;
  /** Those of them whose address another live driver has. */
  readonly duplicated: ReadonlySet<string>;
}

/**
 * Every driver that has answered once and is not gone. Envoy merges endpoints of one address in
 * silence, and a pin names an address: so a driver is withheld whose address another one has, or had
 * and may still be reached at by an Envoy (`holderOf`) or a sidecar (`forgotten` says false).
 */
export function routing(
  records: Iterable<DriverRecord>,
  observed: (uid: string) => ObservedDriver | undefined,
  forgotten: (gone: DriverRecord) => boolean,
  holderOf: EnvoyFleet['holderOf'],
): Routing {
  const holders = new Map<string, string>();
  const present = new Set<string>();
  const claimants: DriverRecord[] = [];
  for (const record of records) {
    if (record.phase !== 'gone') present.add(record.uid);
    if (record.address === '') continue;
    if (record.phase === 'gone') {
      if (!forgotten(record)) holders.set(hostPort(record.address, record.port), record.uid);
    } else if (hasAnswered(record, observed(record.uid))) {
      claimants.push(record);
    }
  }

  const live = new Set(claimants.map(({ uid }) => uid));
  const taken = new Map<string, string>();
  const routable: RoutableDriver[] = [];
  const withheld = new Map<string, string>();
  const duplicated = new Set<string>();
  for (const record of claimants.toSorted(byClaim)) {
    const address = hostPort(record.address, record.port);
    const holder =
      taken.get(address) ??
      other(record, holderOf(record)) ??
      (isNewcomer(record) ? holders.get(address) : undefined);
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
      if (live.has(holder)) duplicated.add(record.uid);
      const what = present.has(holder) ? '' : ', which is gone but not yet forgotten everywhere';
      withheld.set(
        record.uid,
        `Withheld: its address ${address} is held by driver ${holder}${what}.`,
      );
    }
  }
  return { routable, withheld, duplicated };
}

function other({ uid }: DriverRecord, holder: string | undefined): string | undefined {
  return holder === uid ? undefined : holder;
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
  if (record.phase === 'draining' || isLeaving(record.phase)) return true;
  return driver !== undefined && driver.condition !== 'ready' && driver.condition !== 'starting';
}

/** Who held the address first keeps it; the rest of the order only makes the answer stable. */
function byClaim(a: DriverRecord, b: DriverRecord): number {
  return (
    Number(isNewcomer(a)) - Number(isNewcomer(b)) ||
    a.createdAtMs - b.createdAtMs ||
    (a.uid < b.uid ? -1 : 1)
  );
}

// What Envoy was told last, and since when it has been told of each driver.

export class Publication {
  readonly #fleet: EnvoyFleet;
  readonly #clock: Clock;
  readonly #since = new Map<string, number>();
  #published: readonly RoutableDriver[] | undefined;

  constructor(fleet: EnvoyFleet, clock: Clock) {
    this.#fleet = fleet;
    this.#clock = clock;
  }

  /** Tells Envoy if anything changed. Answers whether a driver is new in it. */
  publish(routable: readonly RoutableDriver[]): boolean {
    const uids = new Set(routable.map(({ uid }) => uid));
    let newcomers = false;
    for (const uid of this.#since.keys()) if (!uids.has(uid)) this.#since.delete(uid);
    for (const uid of uids) {
      if (this.#since.has(uid)) continue;
      this.#since.set(uid, this.#clock.now());
      newcomers = true;
    }
    if (this.#published && areSame(this.#published, routable)) return false;
    this.#published = routable;
    this.#fleet.publish(routable);
    return newcomers;
  }

  /** When the driver was first published; undefined while it is not. */
  sinceMs(uid: string): number | undefined {
    return this.#since.get(uid);
  }
}

function areSame(before: readonly RoutableDriver[], after: readonly RoutableDriver[]): boolean {
  return (
    before.length === after.length &&
    before.every((driver, i) => {
      const { uid, namespace, address, port, draining } = after[i] ?? driver;
      return (
        driver.uid === uid &&
        driver.namespace === namespace &&
        driver.address === address &&
        driver.port === port &&
        driver.draining === draining
      );
    })
  );
}
