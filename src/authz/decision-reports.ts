/** What is told of each decision: a log line of a refusal, the span of a trace, the metrics. */
import type { Logger } from 'pino';
import type { Span, Tracer } from '../model/audit.js';
import type { Clock } from '../model/clock.js';
import { type GatewayError, GrpcStatus } from '../model/errors.js';
import { UnverifiedSample } from '../model/unverified-sample.js';
import type { AuthzMetrics } from './authz-metrics.js';
import type { Metadata } from './response.js';

type DecisionCode = Parameters<AuthzMetrics['decided']>[0]['code'];
export type KnownMetadata = { -readonly [Key in keyof Metadata]: Metadata[Key] };

/** What was found out so far, for the access log, the refusal's log line and the metrics. */
export class Checking {
  readonly startedMs = performance.now();
  readonly span: Span | undefined;
  /** IP address of the connection's other end. */
  readonly peer: string;
  readonly metadata: KnownMetadata = {};
  method: string | undefined;

  constructor(span: Span | undefined, peer: string) {
    this.span = span;
    this.peer = peer;
  }
}

export interface DecisionReportsOptions {
  readonly clock: Clock;
  readonly logger: Logger;
  readonly metrics: AuthzMetrics;
  readonly tracer: Tracer;
}

/** Of callers nobody has verified a sample is told: they cost no more than they are worth. */
export class DecisionReports {
  readonly #options: DecisionReportsOptions;
  readonly #unverified: UnverifiedSample;
  readonly #unverifiedSpans: UnverifiedSample;

  constructor(options: DecisionReportsOptions) {
    const { clock, logger } = options;
    this.#options = options;
    this.#unverifiedSpans = new UnverifiedSample({ clock, onOmitted: () => undefined });
    this.#unverified = new UnverifiedSample({
      clock,
      onOmitted: ({ kinds }) =>
        logger.info({ kinds }, 'further requests of callers nobody has verified were refused'),
    });
  }

  /** `peer`: IP address of the connection's other end. */
  begin(peer: string, traceparent: string | undefined): Checking {
    return new Checking(this.#options.tracer.start('authz check', traceparent), peer);
  }

  end({ span, peer, method, metadata, startedMs }: Checking, code: DecisionCode): void {
    // A span that is not ended is not sent: anybody may ask to be traced.
    const isKnown = metadata.principal !== undefined;
    if (span && (isKnown || this.#unverifiedSpans.take(peer, code))) {
      endSpan(span, method, metadata, code);
    }
    this.#options.metrics.decided({
      code,
      method: method ?? 'unknown',
      team: metadata.team,
      environment: metadata.environment,
      durationMs: performance.now() - startedMs,
    });
  }

  refused(error: GatewayError, { method, metadata, peer }: Checking): void {
    const { logger } = this.#options;
    const fields = { code: error.code, method, ...metadata };
    if (error.code === 'INTERNAL') logger.error({ ...fields, err: error }, 'check failed');
    else if (error.status === GrpcStatus.UNAVAILABLE) {
      logger.debug({ ...fields, retryAfterMs: error.retryAfterMs }, error.message);
    } else if (metadata.principal !== undefined || this.#unverified.take(peer, error.code)) {
      logger.info(fields, error.message);
    }
  }
}

/** What is in the access log is enough to find the span by. */
function endSpan(
  span: Span,
  method: string | undefined,
  metadata: KnownMetadata,
  code: string,
): void {
  if (method !== undefined) span.set('rpc.method', method);
  for (const key of ['session', 'team', 'environment', 'driver'] as const) {
    const value = metadata[key];
    if (value !== undefined) span.set(`spark_gateway.${key}`, value);
  }
  span.set('spark_gateway.decision', code);
  span.end(code === 'OK' ? undefined : code);
}
