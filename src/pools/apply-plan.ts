/** Writes what a plan says of the records. */
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

export interface Write {
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
