/** Which drivers may be told to Envoy. Pure. */
import { isIP, isIPv6 } from 'node:net';
import { type RoutableDriver, hostPort } from '../model/driver.js';

export type WithholdReason =
  /** Another driver claims the same address and port. */
  | 'address_claimed_twice'
  /** Some Envoy has not acknowledged yet that the address's former driver is gone. */
  | 'address_not_yet_forgotten'
  /** Not an IP address and port that Envoy takes. */
  | 'address_unusable';

export interface Withheld {
  readonly driver: RoutableDriver;
  readonly reason: WithholdReason;
}

export interface Placement {
  readonly routable: readonly RoutableDriver[];
  readonly withheld: readonly Withheld[];
}

/** `ip:port` in one form for each address, so that two spellings of one IPv6 address are equal. */
export function addressKey(driver: Pick<RoutableDriver, 'address' | 'port'>): string {
  const address = isIPv6(driver.address)
    ? new URL(`http://[${driver.address}]`).hostname.slice(1, -1)
    : driver.address;
  return hostPort(address, driver.port);
}

/**
 * Envoy merges endpoints of one address in silence, and a pin names an address: so an address belongs
 * to one driver at a time. Who is published keeps it; of several new claimants none gets it, as it is
 * not known whose it is; and one that a former driver had waits until every Envoy forgot that.
 *
 * @param incumbents uid of the driver now published at each address
 * @param leaving uid of the former driver at each address where some Envoy may still route to it
 */
export function place(
  wanted: readonly RoutableDriver[],
  incumbents: ReadonlyMap<string, string>,
  leaving: ReadonlyMap<string, string>,
): Placement {
  const claims = new Map<string, RoutableDriver[]>();
  const withheld: Withheld[] = [];
  for (const driver of wanted) {
    if (!isUsable(driver)) {
      withheld.push({ driver, reason: 'address_unusable' });
      continue;
    }
    const key = addressKey(driver);
    const claimants = claims.get(key);
    if (claimants) claimants.push(driver);
    else claims.set(key, [driver]);
  }
  const routable: RoutableDriver[] = [];
  for (const [key, claimants] of claims) {
    const incumbent = incumbents.get(key);
    const owner =
      claimants.find(({ uid }) => uid === incumbent) ??
      (claimants.length === 1 ? claimants[0] : undefined);
    for (const driver of claimants) {
      const former = incumbent ?? leaving.get(key) ?? driver.uid;
      if (driver !== owner) withheld.push({ driver, reason: 'address_claimed_twice' });
      else if (former !== driver.uid)
        withheld.push({ driver, reason: 'address_not_yet_forgotten' });
      else routable.push(driver);
    }
  }
  return { routable, withheld };
}

function isUsable({ address, port }: RoutableDriver): boolean {
  return isIP(address) !== 0 && !address.includes('%') && port > 0 && port <= 65_535;
}
