/** What Envoy was told last, and since when it has been told of each driver. */
import type { Clock } from '../model/clock.js';
import type { RoutableDriver } from '../model/driver.js';
import type { EnvoyFleet } from '../model/envoy-fleet.js';

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
