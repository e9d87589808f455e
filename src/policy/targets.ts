/** Where a request wants to go: its headers, or what the policy puts in their place. */
import { quote, didYouMean } from '../lib/yaml/problem.js';
import { GatewayError } from '../model/errors.js';
import type { Target, TargetRequest } from '../model/policy.js';
import type { Caller } from '../model/principal.js';
import { type ClientUrl, exampleUrl } from './access.js';
import type { TargetsEntry } from './document.js';
import { compileGlob } from './names.js';

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

/**
 * How a team and an environment name a namespace, such as `sjns-{team}-{environment}`. Two pairs
 * must never name the same one: who may use `data` in `x-dev` must not reach `data-x` in `dev`.
 */
const LABEL = /^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$/;

/** RFC 1123 label, https://kubernetes.io/docs/concepts/overview/working-with-objects/names/. */
const LONGEST_NAMESPACE = 63;

export interface TeamAndEnvironment {
  readonly team: string;
  readonly environment: string;
}

export interface NamespaceTemplate {
  /** undefined: the result would be no namespace name. */
  render(pair: TeamAndEnvironment): string | undefined;
  /** The pair that names this namespace, if there is one. */
  parse(namespace: string): TeamAndEnvironment | undefined;
  isTeam(name: string): boolean;
  isEnvironment(name: string): boolean;
  readonly teamAllowed: string;
  readonly environmentAllowed: string;
}

interface Parts {
  readonly prefix: string;
  readonly separator: string;
  readonly suffix: string;
  readonly teamFirst: boolean;
  readonly environments: readonly string[] | undefined;
}

/** Why there is no template, and in which of the two it lies. */
export class TemplateProblem {
  readonly field: 'namespace' | 'environments';
  readonly message: string;

  constructor(field: 'namespace' | 'environments', message: string) {
    this.field = field;
    this.message = message;
  }
}

/**
 * `environments` closes the list of environments, which may then hold hyphens; without it they may
 * not.
 */
export function compileNamespaceTemplate(
  template: string,
  environments: readonly string[] | undefined,
): NamespaceTemplate | TemplateProblem {
  const match =
    /^([a-z0-9-]*)\{(team|environment)\}([a-z0-9-]+)\{(team|environment)\}([a-z0-9-]*)$/.exec(
      template,
    );
  const [, prefix = '', first, separator = '', second, suffix = ''] = match ?? [];
  if (!match || first === second || !LABEL.test(`${prefix}a${separator}b${suffix}`)) {
    return new TemplateProblem(
      'namespace',
      `a namespace template holds {team} and {environment} once each, with lower-case letters, digits and "-" around and between them, such as sjns-{team}-{environment}`,
    );
  }
  const teamFirst = first === 'team';
  if (teamFirst ? !separator.endsWith('-') : !separator.startsWith('-')) {
    return new TemplateProblem(
      'namespace',
      'a namespace template needs "-" right before {environment} where {team} comes first, else right after it',
    );
  }
  const clash = environments && ambiguousPair(environments, separator, teamFirst);
  if (clash) {
    return new TemplateProblem(
      'environments',
      `environments ${clash[0]} and ${clash[1]} make ${template} ambiguous: two teams could share a namespace`,
    );
  }
  return build({ prefix, separator, suffix, teamFirst, environments });
}

function isTeam(name: string): boolean {
  return LABEL.test(name);
}

function build({ prefix, separator, suffix, teamFirst, environments }: Parts): NamespaceTemplate {
  const known = environments && new Set(environments);
  const isEnvironment = (name: string): boolean =>
    known ? known.has(name) : LABEL.test(name) && !name.includes('-');

  return {
    isTeam,
    isEnvironment,
    teamAllowed: 'lower-case letters, digits and "-", beginning and ending with a letter or digit',
    environmentAllowed: environments ? environments.join(', ') : 'lower-case letters and digits',
    render({ team, environment }) {
      const middle = teamFirst
        ? `${team}${separator}${environment}`
        : `${environment}${separator}${team}`;
      const namespace = `${prefix}${middle}${suffix}`;
      return namespace.length <= LONGEST_NAMESPACE ? namespace : undefined;
    },
    parse(namespace) {
      if (!namespace.startsWith(prefix) || !namespace.endsWith(suffix)) return undefined;
      const middle = namespace.slice(prefix.length, namespace.length - suffix.length);
      for (const split of splits(middle, separator)) {
        const [team, environment] = teamFirst ? split : [split[1], split[0]];
        if (isTeam(team) && isEnvironment(environment)) return { team, environment };
      }
      return undefined;
    },
  };
}

function* splits(text: string, separator: string): Generator<readonly [string, string]> {
  for (let at = text.indexOf(separator); at !== -1; at = text.indexOf(separator, at + 1)) {
    yield [text.slice(0, at), text.slice(at + separator.length)];
  }
}

/** Two environments of which one could be the other with the end of a team's name before it. */
function ambiguousPair(
  environments: readonly string[],
  separator: string,
  teamFirst: boolean,
): readonly [string, string] | undefined {
  for (const longer of environments) {
    for (const shorter of environments) {
      if (longer === shorter) continue;
      const clash = teamFirst
        ? `${separator}${longer}`.endsWith(`${separator}${shorter}`)
        : `${longer}${separator}`.startsWith(`${shorter}${separator}`);
      if (clash) return [longer, shorter];
    }
  }
  return undefined;
}

export const DEFAULT_TEMPLATE = 'sjns-{team}-{environment}';

export const defaultTemplate: NamespaceTemplate = build({
  prefix: 'sjns-',
  separator: '-',
  suffix: '',
  teamFirst: true,
  environments: undefined,
});
