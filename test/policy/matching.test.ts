import test from 'ava';
import * as fc from 'fast-check';
import { GatewayError } from '../../src/model/errors.js';
import type { Target, TargetRequest } from '../../src/model/policy.js';
import { compileExpression, ExpressionProblem, NoAnswer } from '../../src/policy/expression.js';
import { compileGlob, NameIndex, NameSet } from '../../src/policy/name-patterns.js';
import {
  compileNamespaceTemplate,
  type NamespaceTemplate,
  TemplateProblem,
} from '../../src/policy/namespace-template.js';
import { caller, HEAD, mistakesIn, options, policyOf, request } from './support.js';
import { tries } from '../support/tries.js';

// Targets.

const TEAM = 'x-doordash-team';
const ENVIRONMENT = 'x-doordash-environment';

const plain = policyOf('');
const rich = policyOf(`
targets:
  environments: [dev, staging, us-prod]
  team_claim: team
  environment_by_host: {spark-dev.example.com: dev, "*.staging.example.com": staging}
`);

function outcome(target: Target | GatewayError): string {
  return target instanceof GatewayError ? target.code : target.namespace;
}

const withTeam = { caller: caller('a', { claims: { team: 'web' } }) };
const cases: readonly (readonly [string, TargetRequest, string])[] = [
  ['both headers', request({ [TEAM]: 'data', [ENVIRONMENT]: 'dev' }), 'sjns-data-dev'],
  ['a team with hyphens', request({ [TEAM]: 'a-b', [ENVIRONMENT]: 'dev' }), 'sjns-a-b-dev'],
  [
    'an environment of the list',
    request({ [TEAM]: 'data', [ENVIRONMENT]: 'us-prod' }),
    'sjns-data-us-prod',
  ],
  [
    'an environment that is not in the list',
    request({ [TEAM]: 'data', [ENVIRONMENT]: 'prod' }),
    'TEAM_OR_ENVIRONMENT_INVALID',
  ],
  ['the team from a claim', request({ [ENVIRONMENT]: 'dev' }, withTeam), 'sjns-web-dev'],
  [
    'a header before the claim',
    request({ [TEAM]: 'data', [ENVIRONMENT]: 'dev' }, withTeam),
    'sjns-data-dev',
  ],
  [
    'the environment from the host',
    request({ [TEAM]: 'data' }, { host: 'Spark-Dev.example.com' }),
    'sjns-data-dev',
  ],
  [
    'the environment from a pattern of hosts',
    request({ [TEAM]: 'data' }, { host: 'eu.staging.example.com' }),
    'sjns-data-staging',
  ],
  ['no team', request({ [ENVIRONMENT]: 'dev' }), 'TEAM_MISSING'],
  ['an empty team', request({ [TEAM]: '', [ENVIRONMENT]: 'dev' }), 'TEAM_MISSING'],
  [
    'a claim that is no text',
    request({ [ENVIRONMENT]: 'dev' }, { caller: caller('a', { claims: { team: ['web'] } }) }),
    'TEAM_MISSING',
  ],
  ['no environment', request({ [TEAM]: 'data' }), 'ENVIRONMENT_MISSING'],
  [
    'an upper-case team',
    request({ [TEAM]: 'Data', [ENVIRONMENT]: 'dev' }),
    'TEAM_OR_ENVIRONMENT_INVALID',
  ],
  [
    'a team that would leave its namespace',
    request({ [TEAM]: '../x', [ENVIRONMENT]: 'dev' }),
    'TEAM_OR_ENVIRONMENT_INVALID',
  ],
  [
    'a name that is too long',
    request({ [TEAM]: 'a'.repeat(60), [ENVIRONMENT]: 'dev' }),
    'TEAM_OR_ENVIRONMENT_INVALID',
  ],
];
for (const [what, from, expected] of cases) {
  test(`${what}: ${expected}`, (t) => {
    t.is(outcome(rich.target(from)), expected);
  });
}

test('without a list, an environment has no hyphen: team a in x-dev would be team a-x in dev', (t) => {
  t.is(
    outcome(plain.target(request({ [TEAM]: 'a', [ENVIRONMENT]: 'x-dev' }))),
    'TEAM_OR_ENVIRONMENT_INVALID',
  );
});

test('what is missing is said with the URL to use', (t) => {
  const missing = plain.target(request({ [TEAM]: 'data' }));
  t.true(missing instanceof GatewayError);
  t.is(
    missing instanceof GatewayError ? missing.message : '',
    'The request names no environment: header x-doordash-environment is missing. Connect with sc://spark.example.com:15002/;token=<token>;x-doordash-team=data;x-doordash-environment=<environment>',
  );
  const clientUrl = { ...options.clientUrl, address: 'localhost:15002' };
  const known = policyOf('', { clientUrl }).target(request({}));
  t.regex(known instanceof GatewayError ? known.message : '', /sc:\/\/localhost:15002\//);
});

test('what a client sends is not shown back where it cannot be part of a URL', (t) => {
  const headers = { [TEAM]: `${'x'.repeat(5000)} <script>` };
  const missing = plain.target(request(headers, { host: 'evil.com/;token=stolen' }));
  t.is(
    missing instanceof GatewayError ? missing.message : '',
    'The request names no environment: header x-doordash-environment is missing. Connect with sc://<gateway>:15002/;token=<token>;x-doordash-team=<team>;x-doordash-environment=<environment>',
  );
  const long = plain.target(request({ [TEAM]: 'x'.repeat(5000), [ENVIRONMENT]: 'dev' }));
  t.true(long instanceof GatewayError && long.message.length < 300);
});

test('a misspelt environment is told the right one', (t) => {
  const target = rich.target(request({ [TEAM]: 'data', [ENVIRONMENT]: 'stagin' }));
  t.is(
    target instanceof GatewayError ? target.message : '',
    'Environment "stagin" is not allowed; did you mean "staging"? Allowed: dev, staging, us-prod.',
  );
});

const anyName = fc.stringMatching(/^[a-c]([a-c-]{0,4}[a-c])?$/);
const template = fc.constantFrom(
  'sjns-{team}-{environment}',
  '{environment}-{team}',
  '{team}-a-{environment}-b',
  'x{team}b-{environment}',
  '{environment}-a{team}',
);

function templateFor(
  text: string,
  environments: readonly string[] | undefined,
): NamespaceTemplate | undefined {
  const compiled = compileNamespaceTemplate(text, environments);
  return compiled instanceof TemplateProblem ? undefined : compiled;
}

test('two pairs never share a namespace, and a namespace leads back to its pair', (t) => {
  const environments = fc.option(fc.uniqueArray(anyName, { minLength: 1, maxLength: 4 }), {
    nil: undefined,
  });
  fc.assert(
    fc.property(
      template,
      environments,
      fc.array(anyName),
      fc.array(anyName),
      (text, list, teams, others) => {
        const compiled = templateFor(text, list);
        if (!compiled) return;
        const owners = new Map<string, string>();
        for (const team of teams) {
          for (const environment of [...(list ?? []), ...others]) {
            if (!compiled.isTeam(team) || !compiled.isEnvironment(environment)) continue;
            const namespace = compiled.render({ team, environment });
            if (namespace === undefined) continue;
            const owner = `${team} ${environment}`;
            t.is(owners.get(namespace) ?? owner, owner);
            owners.set(namespace, owner);
            t.deepEqual(compiled.parse(namespace), { team, environment });
          }
        }
      },
    ),
    { numRuns: tries(300) },
  );
});

// Expressions.

const dana = caller('dana', {
  groups: ['data-eng', 'region-eu'],
  claims: { level: 5, dept: 'eng', tags: ['a', 'b'], address: { country: 'nl' } },
});
const target = { team: 'data', environment: 'dev', namespace: 'sjns-data-dev' };

function evaluate(text: string, who = dana): boolean | string {
  const compiled = compileExpression(text);
  if (compiled instanceof ExpressionProblem) return compiled.message;
  const answer = compiled.evaluate(who, target, 'dev.example.com');
  return answer instanceof NoAnswer ? `${answer.code}: ${answer.message}` : answer;
}

const answers: readonly (readonly [string, boolean | string])[] = [
  ['caller.subject == "dana" && caller.issuer.startsWith("https://example.")', true],
  ['"data-eng" in caller.groups', true],
  ['caller.groups.exists(g, g.startsWith("region-"))', true],
  ['caller.groups.all(g, g.startsWith("region-"))', false],
  ['caller.claims.level >= 5', true],
  ['caller.claims.dept in ["eng", "ops"]', true],
  ['"b" in caller.claims.tags', true],
  ['caller.claims.address.country == "nl"', true],
  ['team == "data" && environment != "prod" && host.endsWith(".example.com")', true],
  ['has(caller.claims.nope)', false],
  ['has(caller.claims.constructor) || "__proto__" in caller.claims', false],
  ['caller.claims.nope == "x"', 'no_such_key: No such key: nope'],
  ['caller.claims.nope == "x" || team == "data"', true],
  ['caller.claims.dept > 3', 'no_such_overload: no such overload: dyn<string> > int'],
];
for (const [text, expected] of answers) {
  test(`${text} is ${expected}`, (t) => {
    t.is(evaluate(text), expected);
  });
}

const problems: readonly (readonly [string, string])[] = [
  ['team ==', 'at its end: Unexpected token: EOF'],
  ['caller.subjct == "a"', 'at "subjct == \\"a\\"": No such key: subjct'],
  ['team + 1 == team', 'at "team + 1 == team": no such overload: string + int'],
  ['team', 'at "team": it must be true or false, but is of type string'],
  ['user == "a"', 'at "user == \\"a\\"": Unknown variable: user'],
  [
    'team.matches("(a+)+$")',
    'at "team.matches(\\"(a+)+$\\")": matches is not supported; use startsWith, endsWith, contains or ==',
  ],
  [
    'caller.groups.all(a, caller.groups.all(b, a == b))',
    'at "caller.groups.all(b, a == b))": all must not be within another macro',
  ],
];
for (const [text, expected] of problems) {
  test(`refused when the policy is loaded: ${text}`, (t) => {
    t.is(evaluate(text), `the expression is not good ${expected}`);
  });
}

function ruleWith(when: string): string {
  return `${HEAD}access:\n  - who: {groups: [a]}\n    what: {teams: [a], environments: [b]}\n    when: ${when}\n`;
}

test('a mistake is told with its line, and one that is too long is refused', (t) => {
  t.deepEqual(mistakesIn(ruleWith('team == 1')), [
    'policy.yaml:7:5: the expression is not good at "team == 1": no such overload: string == int',
  ]);
  t.regex(
    mistakesIn(ruleWith(`team == "${'a'.repeat(1000)}"`))[0] ?? '',
    /of at most 1000 characters/,
  );
});

test('a token with very many values gets no answer, so that none takes long', (t) => {
  const many = caller('x', { groups: Array.from({ length: 1001 }, (_, i) => `g${i}`) });
  t.regex(String(evaluate('caller.groups.all(g, g in caller.groups)', many)), /^too_many_values/);
});

test('no text makes it throw', (t) => {
  const words =
    'caller . groups claims team ( ) [ ] == && ! all x exists , "a" 1 1.5 b"a" in ? : + - has cel.bind { }';
  const word = fc.constantFrom(...words.split(' '));
  fc.assert(
    fc.property(
      fc.oneof(
        fc.string(),
        fc.array(word).map((all) => all.join(' ')),
      ),
      (text) => {
        t.notThrows(() => evaluate(text));
      },
    ),
    { numRuns: tries(500) },
  );
});

const conditional = `
access:
  - name: trained
    who: {groups: [data-eng]}
    what: {teams: [data], environments: [dev]}
    when: caller.claims.dept == "eng"
`;

test('a rule matches only where its expression is true', (t) => {
  const failures: string[] = [];
  const policy = policyOf(conditional, {
    observer: {
      expressionFailed: ({ rule, code, message }) => failures.push(`${rule} ${code} ${message}`),
    },
  });
  t.is(policy.refuseUse(dana, target), undefined);
  const other = caller('o', { groups: ['data-eng'], claims: { dept: 'ops' } });
  t.regex(
    policy.refuseUse(other, target)?.message ?? '',
    /You may use: team data in dev on a condition of the policy\. /,
  );
  t.deepEqual(failures, []);
  const without = caller('w', { groups: ['data-eng'] });
  t.is(policy.refuseUse(without, target)?.code, 'NAMESPACE_REFUSED');
  t.deepEqual(failures, ['trained no_such_key No such key: dept']);
  const reasons = [dana, other, without].map(
    (who) => policy.explain({ caller: who, team: 'data', environment: 'dev' }).rules[0]?.reason,
  );
  t.deepEqual(reasons, [
    'for group "data-eng"',
    'for group "data-eng", but when is false',
    'for group "data-eng", but when gave no answer (No such key: dept)',
  ]);
});

test('who observes a policy does not change its version', (t) => {
  const observer = { expressionFailed: () => undefined };
  t.is(policyOf(conditional, { observer }).version, policyOf(conditional).version);
});

// Patterns.

const globs: readonly (readonly [string, string, boolean])[] = [
  ['data', 'data', true],
  ['data', 'data2', false],
  ['*', '', true],
  ['ml-*', 'ml-', true],
  ['ml-*', 'xml-a', false],
  ['*-dev', 'a-dev', true],
  ['a*a', 'a', false],
  ['a*b*c', 'abxbc', true],
  ['a*b*c', 'acb', false],
  ['*bc*cd*', 'abcd', false],
  ['a.c', 'abc', false],
];
for (const [pattern, name, expected] of globs) {
  test(`${pattern} ${expected ? 'matches' : 'does not match'} "${name}"`, (t) => {
    t.is(compileGlob(pattern).matches(name), expected);
  });
}

test('a pattern matches what its regular expression matches', (t) => {
  const pattern = fc.stringMatching(/^[ab*]{0,6}$/);
  const name = fc.stringMatching(/^[ab]{0,8}$/);
  fc.assert(
    fc.property(pattern, name, (glob, text) => {
      const expected = new RegExp(`^${glob.replaceAll('*', '.*')}$`).test(text);
      t.is(compileGlob(glob).matches(text), expected);
    }),
  );
});

// Many names.

test('a name leads to what trying every name and pattern leads to', (t) => {
  const pattern = fc.stringMatching(/^[ab*]{1,9}$/);
  const sets = fc.array(fc.array(pattern, { maxLength: 3 }), { maxLength: 12 });
  const name = fc.stringMatching(/^[ab]{0,8}$/);
  fc.assert(
    fc.property(sets, name, (all, wanted) => {
      const index = new NameIndex<number>();
      for (const [i, patterns] of all.entries()) index.add(new NameSet(patterns), i);
      const expected = all.flatMap((patterns, i) =>
        new NameSet(patterns).matches(wanted) ? [i] : [],
      );
      const found = new Set<number>();
      index.find([wanted], found);
      t.deepEqual(
        [...found].toSorted((a, b) => a - b),
        expected,
      );
    }),
  );
});

test('as many patterns of one end as fit into a policy are taken in one go', (t) => {
  // Each was added to a copy of those before it: this took minutes.
  const patterns = Array.from({ length: 150_000 }, (_, i) => `*${i}*same`);
  const index = new NameIndex<string>();
  index.add(new NameSet(patterns), 'all');
  const found = new Set<string>();
  index.find(['x149999xsame'], found);
  t.deepEqual([...found], ['all']);
});
