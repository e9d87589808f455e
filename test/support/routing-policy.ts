/** A routing policy by which everyone of the development issuer may use team data, in any environment. */
export function routingPolicy(parts: Readonly<Record<string, unknown>>): object {
  return {
    apiVersion: 'spark-gateway/v1alpha1',
    kind: 'RoutingPolicy',
    access: [{ who: { groups: ['everyone'] }, what: { teams: ['data'], environments: ['*'] } }],
    ...parts,
  };
}
