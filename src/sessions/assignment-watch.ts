/** How long assignments take, and which of them had to wait for a driver: for traces and metrics. */
import type { Clock } from '../model/clock.js';
import type { DriverStart, DriverStarts } from '../model/pool.js';
import type { Tracer } from '../model/tracing.js';

/** How an assignment was made. `cold`: its driver was not there when it was asked for. */
export type AssignmentKind = 'warm' | 'cold' | 'refused';

export interface AssignmentWatchOptions {
  readonly tracer: Tracer;
  readonly starts: DriverStarts;
  readonly clock: Clock;
  readonly onAssigned: (kind: AssignmentKind, durationMs: number) => void;
}

export class AssignmentWatch {
  readonly #o: AssignmentWatchOptions;

  constructor(options: AssignmentWatchOptions) {
    this.#o = options;
  }

  /** @returns what is to be called with the answer */
  begin(
    { sessionId, method }: { readonly sessionId: string; readonly method: string },
    traceparent: string | undefined,
  ): (answer: { readonly driver?: string | undefined; readonly failure?: string }) => void {
    const { tracer, starts, clock, onAssigned } = this.#o;
    const startedMs = clock.now();
    const span = tracer.start('assignment', traceparent);
    return ({ driver, failure }) => {
      const start = driver === undefined ? undefined : starts.startOf(driver);
      const cold = start !== undefined && start.readyAtMs > startedMs ? start : undefined;
      const kind = failure === undefined ? (cold ? 'cold' : 'warm') : 'refused';
      onAssigned(kind, clock.now() - startedMs);
      if (!span) return;
      span.set('spark_gateway.session', sessionId);
      span.set('rpc.method', method);
      span.set('spark_gateway.start', kind);
      if (driver !== undefined) span.set('spark_gateway.driver', driver);
      if (cold && driver !== undefined) addStart(span, cold, driver);
      span.end(failure);
    };
  }
}

function addStart(span: NonNullable<ReturnType<Tracer['start']>>, start: DriverStart, uid: string) {
  span.addPart('driver start', start.createdAtMs, start.readyAtMs, {
    'spark_gateway.driver': uid,
    'spark_gateway.namespace': start.namespace,
  });
}
