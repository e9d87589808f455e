/**
 * How a team and an environment name a namespace, such as `sjns-{team}-{environment}`. Two pairs
 * must never name the same one: who may use `data` in `x-dev` must not reach `data-x` in `dev`.
 */

const LABEL = /^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$/;

/** RFC 1123 label, https://kubernetes.io/docs/concepts/overview/working-with-objects/names/. */
export const LONGEST_NAMESPACE = 63;
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
export interface Parts {
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
export function isTeam(name: string): boolean {
  return LABEL.test(name);
}
export function build({
  prefix,
  separator,
  suffix,
  teamFirst,
  environments,
}: Parts): NamespaceTemplate {
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
export function* splits(text: string, separator: string): Generator<readonly [string, string]> {
  for (let at = text.indexOf(separator); at !== -1; at = text.indexOf(separator, at + 1)) {
    yield [text.slice(0, at), text.slice(at + separator.length)];
  }
}
/** Two environments of which one could be the other with the end of a team's name before it. */

export function ambiguousPair(
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
