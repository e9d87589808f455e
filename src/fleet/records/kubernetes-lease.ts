/**
 * Leadership by a Lease (coordination.k8s.io/v1). The epoch is the Lease's `leaseTransitions`, which
 * grows with every change of its holder.
 *
 * Clocks are never compared between machines. The holder counts its time from before its last
 * successful renewal was sent, and stops a margin short of the Lease's duration; a candidate counts
 * the whole duration from when it first saw that renewal, which is later. So long as both clocks run
 * at about the same rate, the holder has stopped before anyone else starts.
 */
import { randomUUID } from 'node:crypto';
import type { Logger } from 'pino';
import type { KubernetesApi } from '../../lib/kubernetes/kubernetes-api.js';
import { hasStatus } from '../../lib/kubernetes/http.js';
import type { KubernetesObject } from '../../lib/kubernetes/objects.js';
import { type Clock, type Moment, momentOf, passedMs, type Timer } from '../../model/clock.js';
import { reasonOf, retryAfterOf } from '../../model/errors.js';
import type { Leadership } from '../../model/ledger.js';

export interface LeaseOptions {
  readonly api: Pick<KubernetesApi, 'request'>;
  readonly namespace: string;
  readonly name: string;
  /** Names this process, unlike any other that runs or ever ran: a pod's name and a random part. */
  readonly identity: string;
  /** How long a holder that stopped renewing keeps the Lease. Whole seconds, in milliseconds. */
  readonly durationMs: number;
  readonly clock: Clock;
  readonly logger: Logger;
  /** Asked before the Lease is taken, so that a Lease made anew goes on counting: the highest epoch that any record carries. */
  readonly highestEpoch?: () => Promise<number>;
}

/** Attempts in each duration, and the part of it that is given away for clocks of different rates. */
const ATTEMPTS = 5;
/** After a failed attempt the next one comes this much sooner. */
const HASTE = 4;
const MARGIN = 0.2;

interface Lease extends KubernetesObject {
  readonly spec?: {
    readonly holderIdentity?: string;
    readonly leaseDurationSeconds?: number;
    readonly acquireTime?: string;
    readonly renewTime?: string;
    readonly leaseTransitions?: number;
  };
}

export class KubernetesLease implements Leadership {
  readonly #options: LeaseOptions;
  readonly #path: string;
  readonly #listeners = new Set<(epoch: number | undefined) => void>();
  readonly #holderListeners = new Set<(holder: string | undefined) => void>();
  /** What we hold and until when, by both clocks: the one that is further decides. */
  #held: { epoch: number; since: Moment; lease: Lease } | undefined;
  /** What another holds and since when we have seen it unchanged. */
  #seen:
    { resourceVersion: string; sinceMs: number; durationMs: number; holder: string } | undefined;
  #reported: number | undefined;
  #reportedHolder: string | undefined;
  #timer: Timer | undefined;
  #expiry: Timer | undefined;
  #stopped = true;
  #attempt: Promise<void> = Promise.resolve();

  constructor(options: LeaseOptions) {
    this.#options = options;
    this.#path = `/apis/coordination.k8s.io/v1/namespaces/${options.namespace}/leases`;
  }

  start(): void {
    if (!this.#stopped) return;
    this.#stopped = false;
    this.#tryAndAgain();
  }

  /** Gives the Lease up, so that the next leader need not wait for its end. */
  async stop(): Promise<void> {
    if (this.#stopped) return;
    this.#stopped = true;
    this.#timer?.cancel();
    await this.#attempt;
    const lease = this.epoch() === undefined ? undefined : this.#held?.lease;
    this.#lose();
    if (!lease) return;
    try {
      await this.#put(lease, { ...lease.spec, holderIdentity: '', leaseDurationSeconds: 1 });
    } catch (error) {
      this.#options.logger.warn({ reason: reasonOf(error) }, 'the lease was not given up');
    }
  }

  epoch(): number | undefined {
    if (!this.#held) return undefined;
    const { epoch, since } = this.#held;
    const { clock, durationMs } = this.#options;
    return passedMs(clock, since) < durationMs * (1 - MARGIN) ? epoch : undefined;
  }

  /** Who holds the Lease as far as we know: its identity, which may be ours; undefined for nobody. */
  get holder(): string | undefined {
    return this.epoch() === undefined ? this.#seen?.holder : this.#options.identity;
  }

  /** Calls back with the new epoch when leadership was won or lost. */
  onChange(listener: (epoch: number | undefined) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /** Calls back when `holder` is another. */
  onHolderChange(listener: (holder: string | undefined) => void): () => void {
    this.#holderListeners.add(listener);
    return () => this.#holderListeners.delete(listener);
  }

  #tryAndAgain(): void {
    this.#attempt = this.#tryOnce().then((outcome) => {
      if (this.#stopped) return;
      const pauseMs = this.#pauseMs(outcome);
      this.#timer = this.#options.clock.setTimer(pauseMs, () => this.#tryAndAgain());
    });
  }

  /** `outcome`: the failure, if there was one. An API server that sheds load is obeyed, but not at the price of what is held. */
  #pauseMs({ error }: { readonly error?: unknown }): number {
    const { clock, durationMs } = this.#options;
    const usualMs = durationMs / ATTEMPTS / (error === undefined ? 1 : HASTE);
    if (this.#held) {
      const leftMs = durationMs * (1 - MARGIN) - passedMs(clock, this.#held.since);
      const askedMs = Math.min(retryAfterOf(error) ?? 0, leftMs / 2);
      return Math.max(usualMs, askedMs);
    }
    const pauseMs = Math.max(usualMs, retryAfterOf(error) ?? 0);
    if (!this.#seen) return pauseMs;
    const leftMs = this.#seen.sinceMs + this.#seen.durationMs - clock.monotonic();
    return leftMs > 0 ? Math.min(pauseMs, leftMs) : pauseMs;
  }

  async #tryOnce(): Promise<{ readonly error?: unknown }> {
    try {
      if (this.#held) await this.#renew(this.#held);
      else await this.#acquire();
      return {};
    } catch (error) {
      this.#options.logger.warn(
        { reason: reasonOf(error), leading: this.epoch() !== undefined },
        'the lease could not be asked for',
      );
      return { error };
    } finally {
      this.#report();
    }
  }

  async #renew({ epoch, lease }: { epoch: number; lease: Lease }): Promise<void> {
    const since = momentOf(this.#options.clock);
    let renewed: Lease;
    try {
      renewed = await this.#put(lease, this.#renewed(lease));
    } catch (error) {
      if (!hasStatus(error, 409) && !hasStatus(error, 404)) throw error;
      await this.#acquire();
      return;
    }
    if (this.epoch() === epoch) this.#hold(epoch, since, renewed);
    else await this.#acquire();
  }

  async #acquire(): Promise<void> {
    const found = await this.#read();
    const { holderIdentity: holder = '', leaseTransitions = 0 } = found?.spec ?? {};
    const isOurs = holder === this.#options.identity;
    if (found && isOurs && this.epoch() === leaseTransitions) {
      // A renewal of ours that we thought lost was carried out.
      await this.#renew({ epoch: leaseTransitions, lease: found });
      return;
    }
    this.#lose();
    if (holder === '') this.#seen = undefined;
    if (found && holder !== '' && !isOurs && !this.#hasRunOut(found, holder)) return;
    const highest = (await this.#options.highestEpoch?.()) ?? 0;
    const transitions = Math.max(leaseTransitions, highest) + 1;
    const spec = { ...this.#claim(), leaseTransitions: transitions };
    const since = momentOf(this.#options.clock);
    this.#hold(transitions, since, await (found ? this.#put(found, spec) : this.#create(spec)));
  }

  /** Whether the holder has let the whole duration pass before our eyes. */
  #hasRunOut(found: Lease, holder: string): boolean {
    const resourceVersion = found.metadata.resourceVersion ?? '';
    const sinceMs = this.#options.clock.monotonic();
    const seconds = found.spec?.leaseDurationSeconds ?? this.#options.durationMs / 1000;
    if (this.#seen?.resourceVersion !== resourceVersion) {
      this.#seen = { resourceVersion, sinceMs, durationMs: seconds * 1000, holder };
    }
    return this.#options.clock.monotonic() - this.#seen.sinceMs >= this.#seen.durationMs;
  }

  #hold(epoch: number, since: Moment, lease: Lease): void {
    const { clock, durationMs } = this.#options;
    this.#held = { epoch, since, lease };
    this.#seen = undefined;
    this.#expiry?.cancel();
    const leftMs = durationMs * (1 - MARGIN) - passedMs(clock, since);
    this.#expiry = clock.setTimer(leftMs, () => {
      if (this.epoch() === undefined) this.#lose();
    });
  }

  #lose(): void {
    if (!this.#held) return;
    this.#held = undefined;
    this.#expiry?.cancel();
    this.#report();
  }

  #report(): void {
    const epoch = this.epoch();
    if (epoch !== this.#reported) {
      this.#reported = epoch;
      this.#options.logger.info(
        { epoch, identity: this.#options.identity },
        epoch === undefined ? 'no longer the leader' : 'now the leader',
      );
      this.#tell(this.#listeners, epoch);
    }
    const holder = this.holder;
    if (holder === this.#reportedHolder) return;
    this.#reportedHolder = holder;
    this.#tell(this.#holderListeners, holder);
  }

  #tell<T>(listeners: Iterable<(news: T) => void>, news: T): void {
    for (const listener of listeners) {
      try {
        listener(news);
      } catch (error) {
        this.#options.logger.error({ err: error }, 'a listener to leadership failed');
      }
    }
  }

  async #read(): Promise<Lease | undefined> {
    try {
      return await this.#request('GET', `${this.#path}/${this.#options.name}`);
    } catch (error) {
      if (hasStatus(error, 404)) return undefined;
      throw error;
    }
  }

  #create(spec: Lease['spec']): Promise<Lease> {
    return this.#request('POST', this.#path, {
      apiVersion: 'coordination.k8s.io/v1',
      kind: 'Lease',
      metadata: { name: this.#options.name },
      spec,
    });
  }

  /** Written only if it still is what we saw: it carries its resource version. */
  #put(lease: Lease, spec: Lease['spec']): Promise<Lease> {
    return this.#request('PUT', `${this.#path}/${this.#options.name}`, { ...lease, spec });
  }

  #renewed(lease: Lease): Lease['spec'] {
    return { ...lease.spec, renewTime: this.#microTime() };
  }

  #claim() {
    return {
      holderIdentity: this.#options.identity,
      leaseDurationSeconds: Math.ceil(this.#options.durationMs / 1000),
      acquireTime: this.#microTime(),
      renewTime: this.#microTime(),
    };
  }

  #request(method: 'GET' | 'POST' | 'PUT', path: string, body?: unknown): Promise<Lease> {
    const timeoutMs = Math.ceil(this.#options.durationMs / ATTEMPTS);
    return this.#options.api.request<Lease>({
      method,
      path,
      timeoutMs,
      ...(body === undefined ? {} : { body }),
    });
  }

  /** For people; nothing is decided by it. */
  #microTime(): string {
    return new Date(this.#options.clock.now()).toISOString().replace('Z', '000Z');
  }
}

// How a replica names itself in the Lease: unlike any other process, and with the address at which the others reach it.

const IDENTITY = /^[^@]+_[0-9a-f-]{36}@([^@\s]+:\d{1,5})$/;

/** `name` is for people, such as the pod's; `address` is `host:port`. */
export function replicaIdentity(name: string, address: string): string {
  return `${name.replaceAll('@', '-')}_${randomUUID()}@${address}`;
}

/** undefined for a holder that is no replica of this kind. */
export function addressOfReplica(identity: string): string | undefined {
  return IDENTITY.exec(identity)?.[1];
}
