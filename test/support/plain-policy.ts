/** A policy for tests: the two headers say where a request goes; everyone may go where their groups say. */
import { GatewayError } from '../../src/model/errors.js';
import type { IssuerPolicy, PeerCertificate, Policy, Target } from '../../src/model/policy.js';
import type { Caller } from '../../src/model/principal.js';

export interface PlainPolicyOptions {
  readonly issuers: readonly IssuerPolicy[];
  /** Asks that `user_id` be the token's subject. */
  readonly matchUserId?: boolean;
  /** Default `sjns-`. */
  readonly namespacePrefix?: string;
  /** Default: true. */
  readonly leases?: boolean;
  readonly rateLimits?: NonNullable<Policy['rateLimits']>;
  readonly limits?: NonNullable<Policy['limits']>;
  readonly service?: (peer: PeerCertificate) => Caller | undefined;
  readonly sourceNetwork?: (address: string) => Caller | undefined;
}

export function plainPolicy(options: PlainPolicyOptions): Policy {
  const prefix = options.namespacePrefix ?? 'sjns-';
  return {
    version: 'test',
    leases: options.leases ?? true,
    issuers: options.issuers,
    target(request): Target | GatewayError {
      const team = request.header('x-doordash-team');
      const environment = request.header('x-doordash-environment');
      if (team === undefined) {
        return new GatewayError('TEAM_MISSING', 'Say your team: sc://…/;x-doordash-team=….');
      }
      if (environment === undefined) {
        return new GatewayError(
          'ENVIRONMENT_MISSING',
          'Say the environment: sc://…/;x-doordash-environment=….',
        );
      }
      return { team, environment, namespace: `${prefix}${team}-${environment}` };
    },
    refuseUse: (caller, target) =>
      caller.groups.includes(target.team)
        ? undefined
        : new GatewayError('NAMESPACE_REFUSED', `You may use: ${caller.groups.join(', ')}.`),
    refuseUserId: (caller, userId) =>
      options.matchUserId !== true || userId === caller.principal.subject
        ? undefined
        : new GatewayError('USER_ID_MISMATCH', `user_id must be ${caller.principal.subject}.`),
    service: (peer) => options.service?.(peer),
    sourceNetwork: (address) => options.sourceNetwork?.(address),
    administration: () => 'none',
    services: [],
    refuseConfig: () => undefined,
    explain: () => {
      throw new TypeError('this policy explains nothing');
    },
    pool: () => undefined,
    warmNamespaces: [],
    rateLimits: (namespace) => options.rateLimits?.(namespace),
    limits: (namespace) => options.limits?.(namespace),
    quotas: () => ({
      sessionsPerPrincipal: undefined,
      sessionsPerTeam: undefined,
      sessionsPerNamespace: undefined,
    }),
  };
}
