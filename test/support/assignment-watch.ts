import type { Clock } from '../../src/model/clock.js';
import type { DriverStarts } from '../../src/model/pool.js';
import { noTracer, type Tracer } from '../../src/model/audit.js';
import { type AssignmentKind, AssignmentWatch } from '../../src/sessions/assignment-service.js';

/** A watch that tells a test how assignments went. */
export function assignmentWatch(
  clock: Clock,
  options: { readonly tracer?: Tracer; readonly starts?: DriverStarts } = {},
): { readonly watch: AssignmentWatch; readonly seen: [AssignmentKind, number][] } {
  const seen: [AssignmentKind, number][] = [];
  const watch = new AssignmentWatch({
    tracer: options.tracer ?? noTracer,
    starts: options.starts ?? { startOf: () => undefined },
    clock,
    onAssigned: (kind, durationMs) => seen.push([kind, durationMs]),
  });
  return { watch, seen };
}
