/** A policy under which the people of team data share few drivers, which a test then need not start. */
export interface TeamPolicyOptions {
  /** Idle drivers that stand ready. */
  readonly size?: number;
  readonly maximum?: number;
  readonly sessionsPerDriver?: number;
}

/** The namespace of `sjns-data-dev`'s pool is the only one. */
export function teamPolicy(options: TeamPolicyOptions = {}): object {
  const { size = 1, maximum = 3, sessionsPerDriver = 10 } = options;
  return {
    apiVersion: 'spark-gateway/v1alpha1',
    kind: 'RoutingPolicy',
    targets: { environments: ['dev'] },
    access: [{ who: { groups: ['everyone'] }, what: { teams: ['data'], environments: ['dev'] } }],
    pools: [
      {
        size: String(size),
        maximum: String(maximum),
        sessions_per_driver: String(sessionsPerDriver),
        sharing: 'team',
        after_use: 'reuse',
      },
    ],
    warm_namespaces: ['sjns-data-dev'],
  };
}
