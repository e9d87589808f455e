/** What is found by indexes is what trying every entry finds, as the policy writes it. */
import test from 'ava';
import * as fc from 'fast-check';
import { parse, stringify } from 'yaml';
import { CERTIFICATE_ISSUER, type Caller, NETWORK_ISSUER } from '../../src/model/principal.js';
import type { Target } from '../../src/model/policy.js';
import { compileExpression } from '../../src/policy/expression.js';
import { arbitraryCaller, arbitraryPolicy } from './arbitrary.js';
import { policyOf } from './support.js';

interface WrittenRule {
  readonly who: Readonly<Record<string, readonly string[]>>;
  readonly what: { readonly teams: readonly string[]; readonly environments: readonly string[] };
  readonly when?: string;
  readonly mode?: string;
}

interface WrittenMatch {
  readonly namespaces?: readonly string[];
  readonly teams?: readonly string[];
  readonly environments?: readonly string[];
}

function matches(pattern: string, name: string): boolean {
  const parts = pattern.split('*').map((part) => part.replaceAll(/[^\w]/g, '\\$&'));
  return new RegExp(`^${parts.join('.*')}$`).test(name);
}

function any(patterns: readonly string[] = [], names: readonly string[]): boolean {
  return patterns.some((pattern) => names.some((name) => matches(pattern, name)));
}

function isFor({ who }: WrittenRule, { principal, groups }: Caller): boolean {
  const { issuer, subject } = principal;
  if (issuer === CERTIFICATE_ISSUER || issuer === NETWORK_ISSUER) {
    return any(who['services'], [subject]);
  }
  const { issuers = [] } = who;
  if (issuers.length > 0 && !issuers.includes(issuer)) return false;
  return any(who['groups'], groups) || any(who['principals'], [subject]);
}

function covers(rule: WrittenRule, caller: Caller, target: Target, host: string): boolean {
  const claimed = [caller.claims['team']].flat();
  const ofTeam = rule.what.teams.some((team) =>
    team === '${team}' ? claimed.includes(target.team) : matches(team, target.team),
  );
  if (!ofTeam || !any(rule.what.environments, [target.environment])) return false;
  if (rule.when === undefined) return true;
  const expression = compileExpression(rule.when);
  return 'evaluate' in expression && expression.evaluate(caller, target, host) === true;
}

const target = fc
  .record({
    team: fc.constantFrom('data', 'ml-a', 'web', '*'),
    environment: fc.constantFrom('dev', 'prod'),
  })
  .map(({ team, environment }) => ({
    team,
    environment,
    namespace: `sjns-${team}-${environment}`,
  }));

test('whoever may use a team may do so by a rule as it is written, asked again too', (t) => {
  const host = fc.constantFrom('dev.example.com', 'x');
  fc.assert(
    fc.property(
      arbitraryPolicy,
      fc.array(arbitraryCaller),
      fc.array(target),
      host,
      (text, callers, targets, from) => {
        const policy = policyOf(text);
        const { access } = parse(text) as { readonly access: readonly WrittenRule[] };
        const rules = access.filter(({ mode }) => mode !== 'shadow');
        for (const caller of [...callers, ...callers]) {
          for (const wanted of targets) {
            const expected = rules.some(
              (rule) => isFor(rule, caller) && covers(rule, caller, wanted, from),
            );
            t.is(policy.refuseUse(caller, wanted, from) === undefined, expected);
          }
        }
      },
    ),
    { numRuns: 300 },
  );
});

const some = (...names: readonly string[]) =>
  fc.uniqueArray(fc.constantFrom(...names), { maxLength: 2 });
const match: fc.Arbitrary<WrittenMatch> = fc.record(
  {
    namespaces: some('sjns-data-dev', 'sjns-*', '*-dev', 'sjns-data-*', 'other'),
    teams: some('data', 'ml-*', '*', '*a'),
    environments: some('dev', 'prod', 'd*'),
  },
  { requiredKeys: [] },
);

test('the first entry of pools that is for a namespace is that of all, tried in their order', (t) => {
  const namespace = fc.constantFrom(
    'sjns-data-dev',
    'sjns-data-prod',
    'sjns-ml-a-dev',
    'sjns-web-prod',
    'other',
    'kube-system',
  );
  fc.assert(
    fc.property(fc.array(match, { maxLength: 8 }), fc.array(namespace), (entries, names) => {
      const pools = entries.map((entry, i) => ({ match: entry, maximum: i + 1, size: 0 }));
      const policy = policyOf(stringify({ pools }));
      for (const name of names) {
        const pair = policy.parseNamespace?.(name);
        const given = (patterns: readonly string[] = [], value: string | undefined) =>
          patterns.length === 0 || (value !== undefined && any(patterns, [value]));
        const expected = pools.find(
          ({ match: { namespaces, teams, environments } }) =>
            given(namespaces, name) &&
            given(teams, pair?.team) &&
            given(environments, pair?.environment),
        );
        t.is(policy.pool(name)?.maximum, expected?.maximum);
      }
    }),
    { numRuns: 300 },
  );
});
