/** Writes what a plan says of the records. */
import { randomBytes } from 'node:crypto';
import type { Logger } from 'pino';
import type { DriverRecord } from '../model/driver.js';
import type { Ledger } from '../model/ledger.js';
import type { FleetPlan } from './fleet-plan.js';

export interface Applied {
  /** Each resolves when its record is durable. */
  readonly written: readonly Write[];
  /** Drivers that had changed meanwhile, by resource (else uid): left to the next plan. */
  readonly overtaken: ReadonlySet<string>;
}

interface Write {
  /** Of the driver, by resource (else uid). */
  readonly driver: string;
  readonly done: Promise<unknown>;
}

/**
 * Changes each record that is still the one the plan was made of (`planned`). One may change under
 * the loop: who hears of a driver's change may at once give a session to another driver, which the
 * plan must then neither write over nor have deleted.
 */
export function applyPlan(
  plan: Pick<FleetPlan, 'records' | 'forget'>,
  planned: ReadonlyMap<string, DriverRecord>,
  ledger: Ledger,
  log: Logger,
): Applied {
  const written: Write[] = [];
  const overtaken = new Set<string>();
  for (const next of plan.records) {
    const { uid, namespace, phase, reason, resource } = next;
    const before = planned.get(uid);
    if (ledger.get(uid) !== before) {
      overtaken.add(resource ?? uid);
      continue;
    }
    if (before?.phase !== phase) {
      log.info({ uid, namespace, from: before?.phase, to: phase, reason }, 'driver phase');
    }
    const done = before ? ledger.update(uid, () => next) : ledger.create(next);
    written.push({ driver: resource ?? uid, done });
  }
  for (const uid of plan.forget) written.push({ driver: uid, done: ledger.delete(uid) });
  return { written, overtaken };
}

// Record writes that a plan has begun. Later plans are made meanwhile, from records as memory shows them.

export interface PendingWritesOptions {
  /** Called when a write is durable, or with why it failed: then its record is as it was before. */
  readonly onSettled: (error?: unknown) => void;
  /** Called when nothing of a driver that `isPending` was asked about is pending any more. */
  readonly onEnd: () => void;
}

export class PendingWrites {
  readonly #options: PendingWritesOptions;
  /** How many there are, by driver. */
  readonly #pending = new Map<string, number>();
  readonly #awaited = new Set<string>();
  readonly #running = new Set<Promise<void>>();

  constructor(options: PendingWritesOptions) {
    this.#options = options;
  }

  add(writes: readonly Write[]): void {
    for (const { driver, done } of writes) {
      this.#pending.set(driver, (this.#pending.get(driver) ?? 0) + 1);
      const running = done
        .then(
          () => this.#options.onSettled(),
          (error: unknown) => this.#options.onSettled(error),
        )
        .finally(() => {
          this.#running.delete(running);
          this.#ended(driver);
        });
      this.#running.add(running);
    }
  }

  /** Whether what memory shows of the driver is not durable yet. `driver`: its resource, else its uid. */
  isPending(driver: string): boolean {
    const pending = this.#pending.has(driver);
    if (pending) this.#awaited.add(driver);
    return pending;
  }

  get isIdle(): boolean {
    return this.#running.size === 0;
  }

  /** Resolves when nothing is under way any more. */
  async idle(): Promise<void> {
    await Promise.all(this.#running);
  }

  #ended(driver: string): void {
    const left = (this.#pending.get(driver) ?? 1) - 1;
    if (left > 0) {
      this.#pending.set(driver, left);
      return;
    }
    this.#pending.delete(driver);
    if (this.#awaited.delete(driver)) this.#options.onEnd();
  }
}

const LETTERS = 'abcdefghijklmnopqrstuvwxyz0123456789';

/** A new name for a driver: a DNS label that nothing else has. */
export function newDriverName(): string {
  const random = [...randomBytes(12)].map((byte) => LETTERS[byte % LETTERS.length]).join('');
  return `driver-${random}`;
}
