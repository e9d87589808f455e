/** Metrics of the RPCs that clients make, from Envoy's access log. */
import { Counter, Gauge, Histogram, type Registry } from 'prom-client';
import type { AccessRecord } from './record.js';

/** Spark Connect's methods; any other name is counted as `other`, as a client could invent them. */
const METHODS = new Set([
  'ExecutePlan',
  'AnalyzePlan',
  'Config',
  'AddArtifacts',
  'ArtifactStatus',
  'Interrupt',
  'ReattachExecute',
  'ReleaseExecute',
  'ReleaseSession',
  'FetchErrorDetails',
  'CloneSession',
  'GetStatus',
]);

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
        method: METHODS.has(record.method) ? record.method : 'other',
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
