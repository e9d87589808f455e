/** A role's part in traces, as settings say. */
import { hostname } from 'node:os';
import type { Registry } from 'prom-client';
import { OtlpClient, serviceResource } from '../grpc/otlp.js';
import type { Clock } from '../model/clock.js';
import { noTracer, type Tracer } from '../model/tracing.js';
import type { Settings } from '../settings/table.js';
import { SpanExporter } from '../tracing/exporter.js';
import { SamplingTracer } from '../tracing/tracer.js';

export interface Tracing {
  readonly tracer: Tracer;
  close(): Promise<void>;
}

/** Envoy decides which requests are traced; a role adds its spans to those. */
export function openTracing(
  role: string,
  { otlp, tracing }: Settings,
  { clock, registry }: { readonly clock: Clock; readonly registry: Registry },
): Tracing {
  if (!tracing.enabled || !otlp.endpoint) {
    return { tracer: noTracer, close: () => Promise.resolve() };
  }
  const exporter = new SpanExporter({
    client: new OtlpClient({ endpoint: otlp.endpoint, caFile: otlp.caFile, timeoutMs: 3_000 }),
    resource: serviceResource(role, process.env['POD_NAME'] ?? hostname()),
    clock,
    registry,
  });
  return {
    tracer: new SamplingTracer(clock, (span) => exporter.add(span)),
    close: () => exporter.close(),
  };
}
