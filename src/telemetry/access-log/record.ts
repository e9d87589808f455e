/** What the gateway takes from one of Envoy's access log entries, and the metrics that it makes of them. */
import { Counter, Gauge, Histogram, type Registry } from 'prom-client';
import type { SparkRpc } from '../../model/names.js';

/** One RPC, running or ended. What authz had not found out when it refused is undefined. */
export interface AccessRecord {
  readonly kind: 'running' | 'ended';
  /** Unique for each RPC: Envoy's request id. */
  readonly streamId: string;
  readonly startedAtMs: number;
  readonly durationMs: number | undefined;
  readonly method: SparkRpc | 'other';
  readonly session: string | undefined;
  readonly principal: string | undefined;
  readonly issuer: string | undefined;
  readonly team: string | undefined;
  readonly environment: string | undefined;
  readonly namespace: string | undefined;
  readonly driver: string | undefined;
  readonly claimedUser: string | undefined;
  /** It was a ReleaseSession after which the client means to come back. */
  readonly comesBack: true | undefined;
  /** Code of the GatewayError with which authz refused. */
  readonly refusal: string | undefined;
  /** Undefined when the client was given none, as when it went away. */
  readonly grpcStatus: number | undefined;
  /** Envoy's word on how the response came about (`via_upstream`, `ext_authz_denied`, …). */
  readonly details: string;
  /** On the wire, from and to the client. */
  readonly bytesReceived: number;
  readonly bytesSent: number;
  readonly client: string | undefined;
  /** The client's TCP connection: its address and port, unique while it lasts. */
  readonly connection: string | undefined;
  /** From the `traceparent` that the driver was sent, 32 hexadecimal digits. */
  readonly traceId: string | undefined;
}

/** The end of a client's TCP connection. */
export interface ConnectionEnd {
  /** As in its requests' records. */
  readonly connection: string;
  readonly atMs: number;
}

// Metrics of the RPCs that clients make, from Envoy's access log.

const labelNames = ['method', 'team', 'environment'] as const;

export interface RequestMetrics {
  observe(record: AccessRecord): void;
  malformed(count: number): void;
  reporters(count: number): void;
}

/**
 * Team and environment are set only for a request that was let through, so that refused ones cannot
 * make new series.
 */
export function requestMetrics(registry: Registry): RequestMetrics {
  const registers = [registry];
  const duration = new Histogram({
    name: 'spark_gateway_request_duration_seconds',
    help: 'Time from the first byte of a request to the last of its response.',
    labelNames,
    buckets: [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300],
    registers,
  });
  const errors = new Counter({
    name: 'spark_gateway_request_errors_total',
    help: 'Requests that ended with a gRPC status other than OK, or with none.',
    labelNames: [...labelNames, 'grpc_status'],
    registers,
  });
  const success = new Counter({
    name: 'spark_gateway_request_success_total',
    help: 'Requests that ended with gRPC status OK.',
    labelNames,
    registers,
  });
  const malformed = new Counter({
    name: 'spark_gateway_access_log_malformed_total',
    help: 'Access log entries that could not be read and were ignored.',
    registers,
  });
  const reporters = new Gauge({
    name: 'spark_gateway_access_log_reporters',
    help: 'Envoys whose access log is connected.',
    registers,
  });
  return {
    observe(record) {
      if (record.kind !== 'ended') return;
      const labels = {
        method: record.method,
        team: record.refusal === undefined ? (record.team ?? '') : '',
        environment: record.refusal === undefined ? (record.environment ?? '') : '',
      };
      if (record.durationMs !== undefined) duration.observe(labels, record.durationMs / 1000);
      if (record.grpcStatus === 0) success.inc(labels);
      else errors.inc({ ...labels, grpc_status: record.grpcStatus?.toString() ?? 'none' });
    },
    malformed: (count) => malformed.inc(count),
    reporters: (count) => reporters.set(count),
  };
}
