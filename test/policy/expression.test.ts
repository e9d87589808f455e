import test from 'ava';
import * as fc from 'fast-check';
import { compileExpression, ExpressionProblem, NoAnswer } from '../../src/policy/expression.js';
import { caller, HEAD, mistakesIn, policyOf } from './support.js';

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
    { numRuns: 2000 },
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
