import type { Clock } from '../../src/model/clock.js';
import type {
  DriverCondition,
  DriverFactory,
  DriverSource,
  ObservedDriver,
  RequestedDriver,
} from '../../src/model/driver.js';

/** How long a deleted driver is seen to end, unless a test says otherwise. */
const GRACE_MS = 20;

/**
 * Drivers that a test brings up and down: what a factory makes, a source shows. As on a cluster, what
 * is deleted is gone after its grace period, and a namespace may be unreadable for itself.
 */
export class FakeDrivers {
  readonly requests = new Map<string, RequestedDriver>();
  readonly observed = new Map<string, ObservedDriver>();
  readonly created: string[] = [];
  readonly deleted: string[] = [];
  /** What reading rejects with, while set. */
  unreadable: Error | undefined;
  /** What the next creations and deletions reject with. */
  readonly createFailures: Error[] = [];
  readonly deleteFailures: Error[] = [];
  /** The variant whose creation is the one that fails; by default whichever is next. */
  failsFor: string | undefined;
  /** The address of the next driver; by default each has a new one. */
  nextAddress: string | undefined;
  /** How long a deleted driver is seen to end; Infinity: for ever, as on a dead node. */
  graceMs = GRACE_MS;
  /** How often the factory was asked to delete, by resource. */
  readonly deletions = new Map<string, number>();
  /** Whether the source cannot say which drivers exist. */
  inDoubt = false;
  /** Namespaces of which neither source nor factory can say what exists there. */
  readonly unreadableNamespaces = new Set<string>();
  /** What new drivers are made from. */
  template = 1;
  /** Whether a created driver is seen at once, as starting. */
  showsCreated = true;
  onDelete: (resource: string) => void = () => {};
  readonly #clock: Clock;
  #listeners = new Set<() => void>();
  #count = 0;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  readonly source: DriverSource = {
    list: async () => {
      if (this.unreadable) throw this.unreadable;
      return [...this.observed.values()];
    },
    inDoubt: ({ namespace }) => this.inDoubt || this.unreadableNamespaces.has(namespace),
    watch: (listener) => {
      this.#listeners.add(listener);
      return () => this.#listeners.delete(listener);
    },
  };

  readonly factory: DriverFactory = {
    list: async () => {
      if (this.unreadable) throw this.unreadable;
      return [...this.requests.values()].map((request) =>
        this.unreadableNamespaces.has(request.namespace) ? { ...request, inDoubt: true } : request,
      );
    },
    inDoubt: (namespace) => this.unreadableNamespaces.has(namespace),
    template: () => String(this.template),
    create: async (resource, namespace, variant) => {
      const fails = this.failsFor === undefined || this.failsFor === variant;
      const failure = fails ? this.createFailures.shift() : undefined;
      if (failure) throw failure;
      this.created.push(resource);
      const kind = variant === undefined ? {} : { variant };
      this.requests.set(resource, { resource, namespace, ...kind, createdAtMs: this.#clock.now() });
      if (this.showsCreated) this.show(resource, 'starting');
    },
    delete: async (resource) => {
      this.deletions.set(resource, (this.deletions.get(resource) ?? 0) + 1);
      const failure = this.deleteFailures.shift();
      if (failure) throw failure;
      this.onDelete(resource);
      this.deleted.push(resource);
      this.requests.delete(resource);
      this.#terminate(this.uid(resource));
      this.changed();
    },
  };

  #terminate(uid: string): void {
    const driver = this.observed.get(uid);
    if (!driver) return;
    if (driver.condition === 'ended') {
      this.observed.delete(uid);
      return;
    }
    this.set(uid, { condition: 'terminating' });
    if (!Number.isFinite(this.graceMs)) return;
    const { instance } = driver;
    this.#clock.setTimer(this.graceMs, () => {
      if (this.observed.get(uid)?.instance === instance) this.remove(uid);
    });
  }

  /** The uid of the driver that comes of a request. */
  uid(resource: string): string {
    return `uid-of-${resource}`;
  }

  /** Shows a requested driver in a condition. */
  show(resource: string, condition: DriverCondition, reason?: string): void {
    const request = this.requests.get(resource);
    if (!request) return;
    const uid = this.uid(resource);
    this.set(uid, {
      resource,
      namespace: request.namespace,
      ...(request.variant === undefined ? {} : { variant: request.variant }),
      condition,
      ...(reason === undefined ? {} : { reason }),
    });
  }

  /** Shows any driver; what is left out stays as it was. */
  set(uid: string, fields: Partial<ObservedDriver>): void {
    const known = this.observed.get(uid);
    const { reason: _, ...before } = known ?? {
      uid,
      instance: `${uid}@1`,
      namespace: 'sjns-ads-dev',
      address: this.#address(),
      port: 15002,
      condition: 'ready' as const,
    };
    this.observed.set(uid, { ...before, ...fields });
    this.changed();
  }

  /** The template changes: what was requested until now is outdated. */
  changeTemplate(): void {
    this.template += 1;
    for (const [resource, request] of this.requests) {
      this.requests.set(resource, { ...request, outdated: true });
    }
    this.changed();
  }

  remove(uid: string): void {
    this.observed.delete(uid);
    this.changed();
  }

  /** Every driver that is starting comes up. */
  allReady(): void {
    for (const { resource, condition } of this.observed.values()) {
      if (resource !== undefined && condition === 'starting') this.show(resource, 'ready');
    }
  }

  changed(): void {
    for (const listener of this.#listeners) listener();
  }

  #address(): string {
    const address = this.nextAddress;
    this.nextAddress = undefined;
    if (address !== undefined) return address;
    this.#count += 1;
    return `10.0.${Math.floor(this.#count / 250)}.${(this.#count % 250) + 1}`;
  }
}
