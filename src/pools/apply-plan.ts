/** Writes what a plan says of the records. */
import type { Logger } from 'pino';
import type { DriverRecord } from '../model/driver.js';
import type { Ledger } from '../model/ledger.js';
import type { FleetPlan } from './fleet-plan.js';

export interface Applied {
  /** Resolve when the records are durable. */
  readonly written: readonly Promise<unknown>[];
  /** Drivers that had changed meanwhile, by resource (else uid): left to the next plan. */
  readonly overtaken: ReadonlySet<string>;
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
  const written: Promise<unknown>[] = [];
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
    written.push(before ? ledger.update(uid, () => next) : ledger.create(next));
  }
  for (const uid of plan.forget) written.push(ledger.delete(uid));
  return { written, overtaken };
}
