/** What Prometheus is shown of pools, sessions and xDS; read when it asks. */
import { Counter, Gauge, type Registry } from 'prom-client';
import type { Ledger } from '../model/ledger.js';
import type { PoolController } from '../pools/controller.js';
import type { QueryCounts } from '../sessions/query-gate.js';
import type { DiscoveryHub } from '../xds/hub.js';
import { shortType } from '../xds/metrics.js';

/** Returns what is to be called when a term of this replica as the leader begins. */
export function leaderTerms(registry: Registry): () => void {
  const terms = new Counter({
    name: 'spark_gateway_leader_terms_total',
    help: 'How often this replica became the leader.',
    registers: [registry],
  });
  return () => terms.inc();
}

export interface ControlPlaneSources {
  readonly pools: PoolController;
  readonly xds: DiscoveryHub;
  readonly ledger: Ledger;
  /** undefined while another replica leads. */
  readonly queries: () => QueryCounts | undefined;
  /** What only one of several replicas may tell, so that their numbers can be added. */
  readonly leading: () => boolean;
}

export function controlPlaneMetrics(registry: Registry, sources: ControlPlaneSources): void {
  const { pools, xds, ledger, leading, queries } = sources;
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
  const countsOf = function* (what: keyof QueryCounts) {
    for (const [namespace, count] of queries()?.[what] ?? []) yield [{ namespace }, count] as const;
  };
  gauge(
    'spark_gateway_queries_running',
    'Queries that run, in namespaces where the policy limits them.',
    ['namespace'],
    () => countsOf('running'),
  );
  gauge(
    'spark_gateway_queries_waiting',
    'Queries that wait because as many run as the policy allows.',
    ['namespace'],
    () => countsOf('waiting'),
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
}
