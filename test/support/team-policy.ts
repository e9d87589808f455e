import { routingPolicy } from './routing-policy.js';

export interface TeamPolicyOptions {
  /** Idle drivers that stand ready. */
  readonly size?: number;
  readonly maximum?: number;
  readonly sessionsPerDriver?: number;
}

/** A policy under which everyone shares the drivers of team data, so that a test need not start many. */
export function teamPolicy(options: TeamPolicyOptions = {}): object {
  const { size = 1, maximum = 3, sessionsPerDriver = 10 } = options;
  return routingPolicy({
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
  });
}
