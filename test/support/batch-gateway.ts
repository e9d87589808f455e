import { Gateway } from './gateway.js';

/** A gateway for batch jobs alone, in which everybody may submit everywhere: no driver stands ready beside them. */
export function startBatchGateway(): Promise<Gateway> {
  return Gateway.start({
    batch: true,
    settings: { hot_pool_size: '0' },
    policy: (issuer) => ({
      apiVersion: 'spark-gateway/v1alpha1',
      kind: 'RoutingPolicy',
      issuers: [{ issuer, audiences: ['api://spark-gateway'] }],
      access: [],
      pools: [{ size: 0, maximum: 1 }],
      batch: {
        speak_for: [{ services: ['local'], users: ['*'], groups: ['*'], environments: ['*'] }],
        submit: [
          {
            who: { principals: ['*'], services: ['local'] },
            what: { teams: ['*'], environments: ['*'] },
          },
        ],
      },
    }),
  });
}
