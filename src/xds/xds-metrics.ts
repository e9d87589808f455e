/** What is sent to Envoys, and how they take it, for Prometheus. */
import { Counter, Histogram, type Registry } from 'prom-client';
import { PUSH_ORDER, type TypeUrl } from './resource.js';

/** Every call must be cheap and not throw. */
export interface XdsMetrics {
  pushed(typeUrl: TypeUrl, bytes: number): void;
  /** @param afterMs from the push to its ACK */
  acknowledged(typeUrl: TypeUrl, afterMs: number): void;
  rejected(typeUrl: TypeUrl): void;
}

export const noXdsMetrics: XdsMetrics = {
  pushed: () => undefined,
  acknowledged: () => undefined,
  rejected: () => undefined,
};

export function xdsMetrics(registry: Registry): XdsMetrics {
  const labelNames = ['type'] as const;
  const registers = [registry];
  const sizes = new Histogram({
    name: 'spark_gateway_xds_push_size_bytes',
    help: 'Size of the responses sent to Envoys.',
    labelNames,
    buckets: [256, 1024, 4096, 16_384, 65_536, 262_144, 1_048_576, 4_194_304, 16_777_216],
    registers,
  });
  const acks = new Histogram({
    name: 'spark_gateway_xds_ack_duration_seconds',
    help: 'Time from a response until the Envoy that got it had accepted it.',
    labelNames,
    buckets: [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 15],
    registers,
  });
  const nacks = new Counter({
    name: 'spark_gateway_xds_nacks_total',
    help: 'Responses that Envoys rejected.',
    labelNames,
    registers,
  });
  for (const typeUrl of PUSH_ORDER) {
    const type = shortType(typeUrl);
    sizes.zero({ type });
    acks.zero({ type });
    nacks.inc({ type }, 0);
  }
  return {
    pushed: (typeUrl, bytes) => sizes.observe({ type: shortType(typeUrl) }, bytes),
    acknowledged: (typeUrl, ms) => acks.observe({ type: shortType(typeUrl) }, ms / 1000),
    rejected: (typeUrl) => nacks.inc({ type: shortType(typeUrl) }),
  };
}

/** `Cluster` of `type.googleapis.com/envoy.config.cluster.v3.Cluster`. */
export function shortType(typeUrl: string): string {
  return typeUrl.slice(typeUrl.lastIndexOf('.') + 1);
}
