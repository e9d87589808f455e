/** What is asked of Kubernetes' API servers, and whether what they tell still comes. */
import { Counter, Gauge, type Registry } from 'prom-client';
import type { KubernetesApiOptions } from '../kubernetes/api.js';
import type { Clock } from '../model/clock.js';

export type KubernetesObservers = Required<Pick<KubernetesApiOptions, 'onRequest' | 'onWatch'>>;

/** Of one collection; there may be several of a kind: clusters, namespaces, selectors. */
interface WatchState {
  readonly resource: string;
  lastEventMs: number;
}

/** Counts for all clusters together. To be given to each client. */
export function kubernetesMetrics(registry: Registry, clock: Clock): KubernetesObservers {
  const registers = [registry];
  const requests = new Counter({
    name: 'spark_gateway_kubernetes_requests_total',
    help: 'Requests and watches made of API servers; status 0: no answer came.',
    labelNames: ['method', 'status'],
    registers,
  });
  const starts = new Counter({
    name: 'spark_gateway_kubernetes_watch_starts_total',
    help: 'Watches that API servers accepted, by resource. Each is started again every 5 to 10 minutes.',
    labelNames: ['resource'],
    registers,
  });
  const failures = new Counter({
    name: 'spark_gateway_kubernetes_watch_failures_total',
    help: 'Watches that broke off. expired: too far behind (410), so that all had to be listed again.',
    labelNames: ['resource', 'reason'],
    registers,
  });
  const watches = new Map<string, WatchState>();
  registry.registerMetric(
    new Gauge({
      name: 'spark_gateway_kubernetes_watch_last_event_timestamp_seconds',
      help: 'When the last event or bookmark came; of several watches of a resource the one that is furthest behind.',
      labelNames: ['resource'],
      registers: [],
      collect() {
        this.reset();
        for (const [resource, ms] of furthestBehind(watches.values())) {
          this.set({ resource }, ms / 1000);
        }
      },
    }),
  );
  return {
    onRequest: (method, _path, status) => requests.inc({ method, status }),
    onWatch(what, { server, path, query }) {
      const resource = path.slice(path.lastIndexOf('/') + 1);
      if (what === 'expired' || what === 'broken') {
        failures.inc({ resource, reason: what });
        return;
      }
      if (what === 'opened') starts.inc({ resource });
      const key = [server, path, query['labelSelector'], query['fieldSelector']].join('\0');
      const state = watches.get(key);
      if (state) {
        state.lastEventMs = clock.now();
        return;
      }
      watches.set(key, { resource, lastEventMs: clock.now() });
      for (const reason of ['expired', 'broken']) failures.inc({ resource, reason }, 0);
    },
  };
}

function furthestBehind(watches: Iterable<WatchState>): Map<string, number> {
  const oldest = new Map<string, number>();
  for (const { resource, lastEventMs } of watches) {
    oldest.set(resource, Math.min(lastEventMs, oldest.get(resource) ?? Infinity));
  }
  return oldest;
}
