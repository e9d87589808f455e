/** What is wrong with drivers and pools, from what the controller saw and planned last. */
import { type FleetProblem, namespaceReference } from '../model/fleet-problem.js';
import type { FleetPlan } from './fleet-plan.js';
import type { Sightings } from './sightings.js';
import type { StartFailures } from './start-failures.js';

export interface PoolFacts extends Pick<FleetPlan, 'withheld' | 'duplicated'> {
  readonly sightings: Sightings;
  /** By `poolKey`. */
  readonly failures: ReadonlyMap<string, StartFailures>;
  readonly readError: string | undefined;
  readonly writeError: string | undefined;
}

export function poolProblems(facts: PoolFacts): FleetProblem[] {
  const { sightings, withheld, duplicated, failures, readError, writeError } = facts;
  return [
    ...sightings.problems,
    ...[...duplicated].map((uid): FleetProblem => {
      const object = sightings.drivers.get(uid)?.object;
      const message = `Driver ${uid}: ${withheld.get(uid)}`;
      return { kind: 'address_duplicated', ...(object ? { object } : {}), message };
    }),
    ...[...failures].map(([pool, { reason }]): FleetProblem => {
      const [namespace = '', variant] = pool.split('/');
      const which = variant === undefined ? 'No driver' : `No driver of variant ${variant}`;
      const message = `${which} comes up: ${reason}`;
      return { kind: 'pool_failing', object: namespaceReference(namespace), message };
    }),
    ...(readError === undefined
      ? []
      : [{ kind: 'unreadable', message: `Discovery cannot be read: ${readError}` } as const]),
    ...(writeError === undefined
      ? []
      : [
          {
            kind: 'records_unwritable',
            message: `Driver records cannot be written: ${writeError}`,
          } as const,
        ]),
  ];
}
