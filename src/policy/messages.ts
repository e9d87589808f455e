/** Texts of refusals: what is wrong, what the caller may use, and the URL to use. */
import { GatewayError } from '../model/errors.js';
import type { Target } from '../model/policy.js';
import type { Caller } from '../model/principal.js';
import { quote } from '../yaml/problem.js';
import type { Grant } from './access.js';

/** How clients reach the gateway. */
export interface ClientUrl {
  /** host:port, where it is known. */
  readonly address: string | undefined;
  /** The port put behind the host that the client asked for, where `address` is not known. */
  readonly port: number;
  readonly teamHeader: string;
  readonly environmentHeader: string;
}

/** Grants that a message lists before it says "and more". */
const LISTED = 6;

export function exampleUrl(
  url: ClientUrl,
  host: string | undefined,
  team: string | undefined,
  environment: string | undefined,
): string {
  const address = url.address ?? `${host ?? '<gateway>'}:${url.port}`;
  return `sc://${address}/;token=<token>;${url.teamHeader}=${team ?? '<team>'};${url.environmentHeader}=${environment ?? '<environment>'}`;
}

export function refusedUse(
  caller: Caller,
  target: Target,
  grants: readonly Grant[],
  url: ClientUrl,
): GatewayError {
  const refused = `${quote(caller.principal.subject)} may not use team ${quote(target.team)} in environment ${quote(target.environment)}.`;
  if (grants.length === 0) {
    return new GatewayError(
      'NAMESPACE_REFUSED',
      `${refused} The policy allows this caller no team at all: ask the owners of the Spark gateway for access.`,
    );
  }
  const listed = grants
    .slice(0, LISTED)
    .map(
      ({ teams, environments, conditional }) =>
        `team ${words(teams)} in ${words(environments)}${conditional ? ' on a condition of the policy' : ''}`,
    )
    .join('; ');
  const more = grants.length > LISTED ? `; and ${grants.length - LISTED} more` : '';
  const first = grants[0];
  const example = exampleUrl(
    url,
    undefined,
    first?.teams.find(isPlain),
    first?.environments.find(isPlain),
  );
  return new GatewayError(
    'NAMESPACE_REFUSED',
    `${refused} You may use: ${listed}${more}. Connect with ${example}`,
  );
}

function isPlain(pattern: string): boolean {
  return !pattern.includes('*');
}

function words(names: readonly string[]): string {
  const shown = names.slice(0, LISTED).map((name) => (name === '*' ? 'any' : name));
  const more = names.length > LISTED ? ` or ${names.length - LISTED} more` : '';
  return `${shown.join(' or ')}${more}`;
}
