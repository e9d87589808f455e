import { Histogram, type Registry } from 'prom-client';
import type { StartOutcome } from '../pools/driver-starts.js';
import type { AssignmentKind } from '../sessions/assignment-watch.js';

export interface AssignmentMetrics {
  assigned(kind: AssignmentKind, durationMs: number): void;
  started(outcome: StartOutcome, durationMs: number): void;
}

/** How long sessions wait for their driver, and drivers take to come up. */
export function assignmentMetrics(registry: Registry): AssignmentMetrics {
  const registers = [registry];
  const assignment = new Histogram({
    name: 'spark_gateway_assignment_duration_seconds',
    help: 'Time from a question of a sidecar to its answer. start: warm (the driver was there), cold (it was waited for), refused.',
    labelNames: ['start'],
    buckets: [0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.5, 1, 5, 15, 30, 60, 120, 300],
    registers,
  });
  const starts = new Histogram({
    name: 'spark_gateway_driver_start_duration_seconds',
    help: "Time from a driver's creation until it took sessions (ready) or was given up (failed).",
    labelNames: ['outcome'],
    buckets: [1, 2, 5, 10, 15, 20, 30, 45, 60, 90, 120, 180, 300, 600],
    registers,
  });
  for (const start of ['warm', 'cold', 'refused']) assignment.zero({ start });
  for (const outcome of ['ready', 'failed']) starts.zero({ outcome });
  return {
    assigned: (start, durationMs) => assignment.observe({ start }, durationMs / 1000),
    started: (outcome, durationMs) => starts.observe({ outcome }, durationMs / 1000),
  };
}
