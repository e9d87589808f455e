/** What Prometheus is shown of pools, sessions, xDS and the policy; read when it asks. */
import { collectDefaultMetrics, Counter, Gauge, type Registry } from 'prom-client';
import type { Ledger } from '../model/ledger.js';
import type { PolicySource } from '../policy/last-good.js';
import type { PoolController } from '../pools/controller.js';
import type { DiscoveryHub } from '../xds/hub.js';

export interface ControlPlaneSources {
  readonly pools: PoolController;
  readonly xds: DiscoveryHub;
  readonly ledger: Ledger;
  readonly policy: PolicySource;
  /** What only one of several replicas may tell, so that their numbers can be added. */
  readonly leading: () => boolean;
}

/** Counts requests to Kubernetes' API servers: to be given to the clients. */
export function kubernetesRequests(
  registry: Registry,
): (method: string, path: string, status: number) => void {
  const requests = new Counter({
    name: 'spark_gateway_kubernetes_requests_total',
    help: 'Requests and watches made of API servers; status 0: no answer came.',
    labelNames: ['method', 'status'],
    registers: [registry],
  });
  return (method, _path, status) => requests.inc({ method, status });
}

export function controlPlaneMetrics(registry: Registry, sources: ControlPlaneSources): void {
  const { pools, xds, ledger, policy, leading } = sources;
  collectDefaultMetrics({ register: registry });
  const gauge = <Labels extends string>(
    name: string,
    help: string,
    labelNames: readonly Labels[],
    read: () => Iterable<readonly [Record<Labels, string>, number]>,
  ) =>
    new Gauge({
      name,
      help,
      labelNames: [...labelNames],
      registers: [registry],
      collect() {
        this.reset();
        for (const [labels, value] of read()) this.inc(labels, value);
      },
    });

  gauge('spark_gateway_leading', 'Whether this replica leads (1).', [], () => [
    [{}, leading() ? 1 : 0],
  ]);
  // `variant` is empty for a pool's own drivers.
  gauge(
    'spark_gateway_drivers',
    'Drivers by phase.',
    ['namespace', 'variant', 'phase'],
    function* read() {
      if (!leading()) return;
      for (const { namespace, variant = '', phase } of pools.report().drivers) {
        yield [{ namespace, variant, phase }, 1];
      }
    },
  );
  gauge('spark_gateway_sessions', 'Live sessions.', ['team', 'environment'], function* read() {
    if (!leading()) return;
    for (const { sessions } of ledger.all()) {
      for (const { team, environment } of Object.values(sessions)) {
        yield [{ team, environment }, 1];
      }
    }
  });
  gauge(
    'spark_gateway_sessions_waiting',
    'Sessions that wait for a driver.',
    ['namespace', 'variant'],
    function* read() {
      if (!leading()) return;
      for (const { namespace, variant = '', waiting } of pools.report().pools) {
        yield [{ namespace, variant }, waiting];
      }
    },
  );
  gauge(
    'spark_gateway_xds_streams',
    'Connected Envoys by the state of each type of resource.',
    ['type', 'state'],
    () =>
      xds
        .nodes()
        .flatMap(({ types }) =>
          types.map(({ typeUrl, state }): [{ type: string; state: string }, number] => [
            { type: shortType(typeUrl), state },
            1,
          ]),
        ),
  );
  const xdsCounter = (name: string, help: string, key: 'pushes' | 'bytes' | 'acks' | 'nacks') =>
    gauge(`spark_gateway_xds_${name}_total`, help, ['type'], () =>
      [...xds.counters.byType].map(([typeUrl, counters]): [{ type: string }, number] => [
        { type: shortType(typeUrl) },
        counters[key],
      ]),
    );
  xdsCounter('pushes', 'Responses sent to Envoys.', 'pushes');
  xdsCounter('pushed_bytes', 'Bytes sent to Envoys.', 'bytes');
  xdsCounter('acks', 'Responses that Envoys accepted.', 'acks');
  xdsCounter('nacks', 'Responses that Envoys rejected.', 'nacks');
  gauge(
    'spark_gateway_xds_ack_seconds_total',
    'From each response to its acknowledgement, summed up: divide by the acks.',
    ['type'],
    () =>
      [...xds.counters.byType].map(([typeUrl, { ackMs }]): [{ type: string }, number] => [
        { type: shortType(typeUrl) },
        ackMs / 1000,
      ]),
  );
  gauge(
    'spark_gateway_policy_bad',
    'Whether the policy as it is written now is not good, so that the last good one decides (1).',
    [],
    () => [[{}, policy.status.error === undefined ? 0 : 1]],
  );
}

function shortType(typeUrl: string): string {
  return typeUrl.slice(typeUrl.lastIndexOf('.') + 1);
}
