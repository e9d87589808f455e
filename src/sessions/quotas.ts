/** Limits on how many sessions there may be. */
import type { DriverRecord } from '../model/driver.js';
import type { GatewayError } from '../model/errors.js';
import type { QuotaPolicy } from '../model/policy.js';
import { samePrincipal, type Principal } from '../model/principal.js';
import { quotaExceeded } from './refusals.js';

export interface SessionTarget {
  readonly principal: Principal;
  readonly team: string;
  readonly namespace: string;
}

/**
 * undefined: one more session is allowed. Sessions of a principal and of a team count in all
 * namespaces; the limits are those of the namespace asked for.
 */
export function refuseByQuota(
  records: Iterable<DriverRecord>,
  target: SessionTarget,
  quotas: QuotaPolicy,
): GatewayError | undefined {
  const { sessionsPerPrincipal, sessionsPerTeam, sessionsPerNamespace } = quotas;
  if (
    sessionsPerPrincipal === undefined &&
    sessionsPerTeam === undefined &&
    sessionsPerNamespace === undefined
  ) {
    return undefined;
  }
  let ofPrincipal = 0;
  let ofTeam = 0;
  let ofNamespace = 0;
  for (const record of records) {
    for (const session of Object.values(record.sessions)) {
      if (samePrincipal(session.principal, target.principal)) ofPrincipal += 1;
      if (session.team === target.team) ofTeam += 1;
      if (record.namespace === target.namespace) ofNamespace += 1;
    }
  }
  if (sessionsPerPrincipal !== undefined && ofPrincipal >= sessionsPerPrincipal) {
    return quotaExceeded('principal', target.principal.subject, sessionsPerPrincipal);
  }
  if (sessionsPerTeam !== undefined && ofTeam >= sessionsPerTeam) {
    return quotaExceeded('team', target.team, sessionsPerTeam);
  }
  if (sessionsPerNamespace !== undefined && ofNamespace >= sessionsPerNamespace) {
    return quotaExceeded('namespace', target.namespace, sessionsPerNamespace);
  }
  return undefined;
}
