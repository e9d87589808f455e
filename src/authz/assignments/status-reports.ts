/**
 * Tells the control plane what people are shown of this sidecar (`AssignmentService.ReportStatus`):
 * what it decides by, and the newest requests. Best effort, one call at a time, and apart from the
 * stream on which sessions depend: whatever becomes of a report, the lease does not notice.
 */
import { create, type MessageShape } from '@bufbuild/protobuf';
import type { Client } from '@grpc/grpc-js';
import type { Logger } from 'pino';
import {
  AssignmentService,
  ReportStatusRequestSchema,
} from '#gen/spark_gateway/v1/assignments_pb.js';
import type { SeenRequest, SeenRequestSink } from '../../model/assignment.js';
import type { Clock, Timer } from '../../model/clock.js';
import type { EnvoyCounts } from '../../model/envoy-counts.js';
import { GrpcStatus } from '../../model/errors.js';
import type { SidecarPolicy } from '../../model/reports.js';
import { callControlPlane } from './call-control-plane.js';
import { SeenRequests, type ToldRequest } from './seen-requests.js';
import { PolicyReports } from './sidecar-policy.js';

export interface StatusReportsOptions {
  /** As on the stream that the control plane follows. */
  readonly sidecarId: string;
  /** undefined: it is not told. */
  readonly policy: () => SidecarPolicy | undefined;
  /** What Envoy has counted so far. */
  readonly counts: () => readonly EnvoyCounts[];
  readonly clock: Clock;
  readonly logger: Logger;
}

/** How often it is looked for news, and the pause after a report that failed. */
const INTERVAL_MS = 5_000;
const TIMEOUT_MS = 10_000;

interface Report {
  readonly message: MessageShape<typeof ReportStatusRequestSchema>;
  readonly seen: readonly ToldRequest[];
}

export class StatusReports implements SeenRequestSink {
  readonly #options: StatusReportsOptions;
  readonly #seen = new SeenRequests();
  readonly #policy: PolicyReports;
  /** As told last. */
  #counts: readonly EnvoyCounts[] = [];
  /** Ends what is told to one control plane. */
  #over = new AbortController();
  #timer: Timer | undefined;

  constructor(options: StatusReportsOptions) {
    this.#options = options;
    this.#policy = new PolicyReports(options.policy);
  }

  seen(request: SeenRequest): void {
    this.#seen.seen(request);
  }

  /** Tells all there is, and later the news, to this control plane, which knows nothing; undefined: to none. */
  tell(client: Client | undefined): void {
    this.#timer?.cancel();
    this.#over.abort();
    this.#over = new AbortController();
    this.#seen.tellAgain();
    this.#policy.tellAgain();
    this.#counts = [];
    if (client) this.#look(client, this.#over.signal);
  }

  #look(client: Client, over: AbortSignal): void {
    const report = this.#next();
    const later = () => {
      if (over.aborted) return;
      this.#timer = this.#options.clock.setTimer(INTERVAL_MS, () => this.#look(client, over));
    };
    if (!report) return later();
    callControlPlane(client, AssignmentService.method.reportStatus, report.message, {
      deadline: Date.now() + TIMEOUT_MS,
      signal: over,
    }).then(later, (error: unknown) => {
      if (over.aborted || isUnknownCall(error)) return;
      this.#options.logger.debug(
        { err: error },
        'what people are shown of this authz is told later',
      );
      this.#seen.takeBack(report.seen);
      this.#policy.tellAgain();
      this.#counts = [];
      later();
    });
  }

  /** undefined: there is nothing to tell. */
  #next(): Report | undefined {
    const { sidecarId, clock, logger } = this.#options;
    try {
      const policy = this.#policy.next(clock.now());
      const seen = this.#seen.next();
      const counts = this.#options.counts();
      const counted = counts === this.#counts ? [] : counts;
      this.#counts = counts;
      if (!policy && seen.length === 0 && counted.length === 0) return undefined;
      const message = create(ReportStatusRequestSchema, {
        sidecarId,
        ...(policy ? { policy } : {}),
        counts: counted.map(({ succeeded, buckets, ...of }) => ({
          ...of,
          succeeded: BigInt(succeeded),
          buckets: buckets.map(BigInt),
        })),
        seen: seen.map(({ caller, sessionId = '', ...told }) => ({
          ...told,
          sessionId,
          principal: { ...caller.principal },
          headers: { ...told.headers },
        })),
      });
      return { message, seen };
    } catch (error) {
      logger.error({ err: error }, 'what a control plane shows of this authz is left out');
      return undefined;
    }
  }
}

/** By a control plane of an earlier release: it will not know it the next time either. */
function isUnknownCall(error: unknown): boolean {
  const { cause } = error instanceof Error ? error : {};
  return isStatus(cause) && cause.code === GrpcStatus.UNIMPLEMENTED;
}

function isStatus(cause: unknown): cause is { readonly code: unknown } {
  return cause instanceof Error && 'code' in cause;
}
