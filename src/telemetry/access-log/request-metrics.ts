/** Metrics of the RPCs that clients make. Counted here and shown when they are asked for: each request is a few additions. */
import { Counter, Gauge, type Registry } from 'prom-client';
import { type TimeSeries, TimeTally } from '../../lib/metrics/tally.js';
import { DURATION_BUCKETS_MS, type EnvoyCounts } from '../../model/envoy-counts.js';
import { COUNTED_RPC } from '../../model/names.js';
import type { AccessRecord } from './access-record.js';

const labelNames = ['method', 'team', 'environment'] as const;
type Label = (typeof labelNames)[number];

/** Upper ends, seconds. */
const DURATION_BUCKETS = DURATION_BUCKETS_MS.map((ms) => ms / 1000);

export interface RequestMetrics {
  /** Of requests that have no record; those of `team` and `environment`. */
  counted(counts: EnvoyCounts, of: { readonly team: string; readonly environment: string }): void;
  observe(record: AccessRecord): void;
  malformed(count: number): void;
  reporters(count: number): void;
}

/** The RPCs of one method, team and environment. */
interface Series {
  readonly labels: Record<Label, string>;
  readonly durations: TimeSeries<Label>;
  succeeded: number;
  /** By gRPC status. */
  readonly failed: Map<string, number>;
}

/**
 * Team and environment are set only for a request that was let through, so that refused ones cannot
 * make new series.
 */
export function requestMetrics(registry: Registry): RequestMetrics {
  const registers = [registry];
  const durations = new TimeTally({
    name: 'spark_gateway_request_duration_seconds',
    help: 'Time from the first byte of a request to the last of its response.',
    labelNames,
    buckets: [...DURATION_BUCKETS],
    registers,
  });
  const table = new SeriesTable(durations);
  const errors = new Counter({
    name: 'spark_gateway_request_errors_total',
    help: 'Requests that ended with a gRPC status other than OK, or with none.',
    labelNames: [...labelNames, 'grpc_status'],
    registers: [],
    collect() {
      this.reset();
      for (const { labels, failed } of table.all) {
        for (const [status, count] of failed) this.inc({ ...labels, grpc_status: status }, count);
      }
    },
  });
  registry.registerMetric(errors);
  const success = new Counter({
    name: 'spark_gateway_request_success_total',
    help: 'Requests that ended with gRPC status OK.',
    labelNames,
    registers: [],
    collect() {
      this.reset();
      for (const { labels, succeeded } of table.all) {
        if (succeeded > 0) this.inc(labels, succeeded);
      }
    },
  });
  registry.registerMetric(success);
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
    counted({ method, succeeded, buckets, totalMs }, { team, environment }) {
      const series = table.of(method, team, environment);
      series.succeeded += succeeded;
      series.durations.add(buckets, totalMs / 1000);
    },
    observe(record) {
      if (record.kind !== 'ended') return;
      const { method, refusal, team = '', environment = '', durationMs, grpcStatus } = record;
      const series =
        refusal === undefined ? table.of(method, team, environment) : table.of(method, '', '');
      // Envoy times all requests of a method whose successes have no record.
      if (durationMs !== undefined && method !== COUNTED_RPC)
        series.durations.observe(durationMs / 1000);
      if (grpcStatus === 0) series.succeeded += 1;
      else {
        const status = grpcStatus?.toString() ?? 'none';
        series.failed.set(status, (series.failed.get(status) ?? 0) + 1);
      }
    },
    malformed: (count) => malformed.inc(count),
    reporters: (count) => reporters.set(count),
  };
}

/** Found without a text made of their labels for each request. */
class SeriesTable {
  readonly all: Series[] = [];
  readonly #durations: TimeTally<Label>;
  readonly #byMethod = new Map<string, Map<string, Map<string, Series>>>();

  constructor(durations: TimeTally<Label>) {
    this.#durations = durations;
  }

  of(method: string, team: string, environment: string): Series {
    const byTeam = at(this.#byMethod, method, () => new Map<string, Map<string, Series>>());
    const byEnvironment = at(byTeam, team, () => new Map<string, Series>());
    return at(byEnvironment, environment, () => {
      const labels = { method, team, environment };
      const durations = this.#durations.series(labels);
      const series = { labels, durations, succeeded: 0, failed: new Map<string, number>() };
      this.all.push(series);
      return series;
    });
  }
}

function at<T>(map: Map<string, T>, key: string, make: () => T): T {
  let value = map.get(key);
  if (value === undefined) map.set(key, (value = make()));
  return value;
}
