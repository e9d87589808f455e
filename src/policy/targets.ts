/** Where a request wants to go: its headers, or what the policy puts in their place. */
import { quote, didYouMean } from '../lib/yaml/problem.js';
import { GatewayError } from '../model/errors.js';
import type { Target, TargetRequest } from '../model/policy.js';
import type { Caller } from '../model/principal.js';
import { type ClientUrl, exampleUrl } from './access.js';
import type { TargetsEntry } from './document.js';
import { compileGlob } from './name-patterns.js';
import { type NamespaceTemplate } from './namespace-template.js';

/** What a client sends is shown back only where it can be part of a URL. */
const HOST = /^(?:[a-z0-9.-]{1,253}|\[[0-9a-f:.]{2,45}\])$/;

export function compileTargets(
  entry: TargetsEntry,
  template: NamespaceTemplate,
  url: ClientUrl,
): (request: TargetRequest) => Target | GatewayError {
  const hosts = [...entry.environment_by_host].map(([pattern, environment]) => ({
    glob: compileGlob(pattern),
    environment,
  }));
  const byHost = new Map(entry.environment_by_host);
  const environmentOf = (host: string): string | undefined =>
    byHost.get(host) ?? hosts.find(({ glob }) => glob.matches(host))?.environment;

  return (request) => {
    const host = request.host.toLowerCase();
    const team = request.header(url.teamHeader) || claimText(request.caller, entry.team_claim);
    const environment = request.header(url.environmentHeader) || environmentOf(host);
    const connect = (): string =>
      `Connect with ${exampleUrl(
        url,
        HOST.test(host) ? host : undefined,
        team && template.isTeam(team) ? team : undefined,
        environment && template.isEnvironment(environment) ? environment : undefined,
      )}`;
    if (!team) {
      return new GatewayError(
        'TEAM_MISSING',
        `The request names no team: header ${url.teamHeader} is missing. ${connect()}`,
      );
    }
    if (!environment) {
      return new GatewayError(
        'ENVIRONMENT_MISSING',
        `The request names no environment: header ${url.environmentHeader} is missing. ${connect()}`,
      );
    }
    if (!template.isTeam(team)) {
      return invalid(`Team ${quote(team)} is not allowed: use ${template.teamAllowed}.`);
    }
    if (!template.isEnvironment(environment)) {
      const near = didYouMean(environment, entry.environments ?? []);
      return invalid(
        `Environment ${quote(environment)} is not allowed${near}${near ? ' Allowed:' : ': use'} ${template.environmentAllowed}.`,
      );
    }
    const namespace = template.render({ team, environment });
    return namespace === undefined
      ? invalid(
          `Team ${quote(team)} and environment ${quote(environment)} make a namespace of more than 63 characters.`,
        )
      : { team, environment, namespace };
  };
}

function invalid(message: string): GatewayError {
  return new GatewayError('TEAM_OR_ENVIRONMENT_INVALID', message);
}

function claimText(caller: Caller, claim: string | undefined): string | undefined {
  const value =
    claim !== undefined && Object.hasOwn(caller.claims, claim) ? caller.claims[claim] : undefined;
  return typeof value === 'string' ? value : undefined;
}
