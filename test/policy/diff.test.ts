import test from 'ava';
import * as fc from 'fast-check';
import { parse, stringify } from 'yaml';
import { describedCaller } from '../../src/model/administration.js';
import type { SeenRequest } from '../../src/model/assignment.js';
import type { Policy, Target } from '../../src/model/policy.js';
import { type Caller, CERTIFICATE_ISSUER, NETWORK_ISSUER } from '../../src/model/principal.js';
import { compilePolicy } from '../../src/policy/compile.js';
import * as diffing from '../../src/policy/diff.js';
import type { Present } from '../../src/policy/diff.js';
import { compileExpression } from '../../src/policy/expression.js';
import { atOnce } from '../../src/policy/match.js';
import { arbitraryCaller, arbitraryPolicy } from './arbitrary.js';
import { HEAD, ISSUER, options, policyOf } from './support.js';
import { tries } from '../support/tries.js';

const OPEN = `access: [{who: {groups: [everyone]}, what: {teams: [data], environments: [dev, prod]}}]
`;

function asks(subject: string, fields: Partial<SeenRequest> = {}): SeenRequest {
  return {
    sessionId: undefined,
    caller: {
      principal: { issuer: ISSUER, subject },
      claims: { sub: subject, groups: ['everyone'] },
    },
    host: 'spark.example.com',
    headers: { 'x-doordash-team': 'data', 'x-doordash-environment': 'dev' },
    userId: subject,
    ...fields,
  };
}

const diffPolicies = (before: Policy, after: Policy, now: Present) =>
  atOnce(diffing.diffPolicies(before, after, now));

const principalOf = (subject: string) => ({ issuer: ISSUER, subject });
const alices = { session: 's1', principal: principalOf('alice'), namespace: 'sjns-data-dev' };

const withHost = (environment: string) =>
  policyOf(`${OPEN}targets: {environment_by_host: {spark.example.com: ${environment}}}\n`);

const withPools = (entries: string, rest = '') => policyOf(`${OPEN}pools: [${entries}]\n${rest}`);

function present(fields: Partial<Present> = {}): Present {
  return { sessions: [], seen: [], namespaces: [], ...fields };
}

test('who is shut out is shown with the session, the refusal and its message', (t) => {
  const closed =
    policyOf(`access: [{who: {principals: [bob]}, what: {teams: [data], environments: [dev]}}]
`);
  const diff = diffPolicies(
    policyOf(OPEN),
    closed,
    present({
      sessions: [alices, { ...alices, session: 's2', principal: principalOf('bob') }],
      seen: [asks('alice', { sessionId: 's1' }), asks('bob', { sessionId: 's2' })],
    }),
  );
  t.is(diff.changes.length, 1);
  const [change] = diff.changes;
  t.like(change, { change: 'lost', session: 's1', before: { namespace: 'sjns-data-dev' } });
  t.is(change?.after.refusal?.code, 'NAMESPACE_REFUSED');
  t.regex(change?.after.refusal?.message ?? '', /"alice" may not use team "data"/);
  t.like(diff.counts, { sessions: 2, people: 0, lost: 1, gained: 0, unknown: 0 });
});

test('who is refused now and would be let in is shown, once for all that is asked alike', (t) => {
  const diff = diffPolicies(
    policyOf('access: []\n'),
    policyOf(OPEN),
    present({ seen: [asks('dave'), asks('dave', { sessionId: 'over' })] }),
  );
  t.like(diff.counts, { people: 1, gained: 1 });
  t.deepEqual(diff.changes[0]?.after, { namespace: 'sjns-data-dev' });
  t.is(diff.changes[0]?.session, undefined);
});

test('other defaults lead elsewhere: what the request itself said counts', (t) => {
  const headers = { 'x-doordash-team': 'data' };
  const diff = diffPolicies(
    withHost('dev'),
    withHost('prod'),
    present({ sessions: [alices], seen: [asks('alice', { sessionId: 's1', headers })] }),
  );
  t.like(diff.changes[0], {
    change: 'moved',
    before: { namespace: 'sjns-data-dev' },
    after: { namespace: 'sjns-data-prod' },
  });
});

test('a session whose caller nobody told of, or told of as someone else, is never guessed', (t) => {
  const diff = diffPolicies(
    policyOf(OPEN),
    policyOf('access: []\n'),
    present({
      sessions: [alices, { ...alices, session: 's2' }],
      seen: [asks('mallory', { sessionId: 's2' })],
    }),
  );
  t.deepEqual(
    diff.unknown.map(({ session }) => session),
    ['s1', 's2'],
  );
  t.deepEqual(
    diff.changes.map((change) => change.principal.subject),
    ['mallory'],
  );
});

test('where the candidate takes another claim for the name, sessions belong to someone else', (t) => {
  const byEmail = HEAD.replace('audiences', 'principal_claim: email, audiences');
  const after = compilePolicy(`${byEmail}${OPEN}`, 'policy.yaml', options);
  const claims = { sub: 'alice', email: 'alice@example.com', groups: ['everyone'] };
  const request = asks('alice', {
    sessionId: 's1',
    caller: { principal: principalOf('alice'), claims },
  });
  const diff = diffPolicies(
    policyOf(OPEN),
    after,
    present({ sessions: [alices], seen: [request] }),
  );
  t.is(diff.changes[0]?.after.refusal?.code, 'SESSION_OF_ANOTHER');
});

test('pools, quotas and rates of namespaces in use, and pools that go', (t) => {
  const before = withPools('{size: 1, maximum: 4, sessions_per_driver: 2, idle_ttl: 30m}');
  const after = withPools(
    '{match: {environments: [dev]}, size: 2, maximum: 4, idle_ttl: 5m}',
    'quotas: [{sessions_per_principal: 1}]\n',
  );
  const diff = diffPolicies(
    before,
    after,
    present({
      sessions: [alices, { ...alices, session: 's2', namespace: 'sjns-data-prod' }],
      namespaces: ['sjns-data-dev'],
    }),
  );
  const [dev, prod] = diff.namespaces;
  t.like(dev, { namespace: 'sjns-data-dev', sessions: 1, pool: 'kept' });
  t.deepEqual(dev?.fields, [
    { field: 'pool.size', before: '1', after: '2' },
    { field: 'pool.sessions_per_driver', before: '2', after: '1' },
    { field: 'pool.idle_ttl', before: '1800s', after: '300s' },
    { field: 'quotas.sessions_per_principal', after: '1' },
  ]);
  t.like(prod, { namespace: 'sjns-data-prod', pool: 'gone' });
});

/** What a token says stands in its claims; a service has none. */
function asVerified(caller: Caller): Caller {
  const { issuer, subject } = caller.principal;
  if (issuer === CERTIFICATE_ISSUER || issuer === NETWORK_ISSUER) {
    return { ...caller, groups: [], claims: {} };
  }
  return { ...caller, claims: { ...caller.claims, sub: subject, groups: caller.groups } };
}

const arbitrarySeen: fc.Arbitrary<SeenRequest> = fc
  .record({
    caller: arbitraryCaller,
    host: fc.constantFrom('dev.example.com', 'spark.example.com'),
    team: fc.constantFrom(undefined, 'data', 'web'),
    environment: fc.constantFrom(undefined, 'dev', 'prod'),
  })
  .map(({ caller, host, team, environment }) => ({
    sessionId: undefined,
    caller: asVerified(caller),
    host,
    headers: {
      ...(team === undefined ? {} : { 'x-doordash-team': team }),
      ...(environment === undefined ? {} : { 'x-doordash-environment': environment }),
    },
    userId: caller.principal.subject,
  }));

test('a policy changes nothing against itself', (t) => {
  fc.assert(
    fc.property(arbitraryPolicy, fc.array(arbitrarySeen), (text, seen) => {
      const namespaces = ['sjns-data-dev', 'sjns-web-prod'];
      const diff = diffPolicies(policyOf(text), policyOf(text), present({ seen, namespaces }));
      t.deepEqual(diff.changes, []);
      t.deepEqual(diff.namespaces, []);
    }),
    { numRuns: tries(100) },
  );
});

test('a change is shown exactly where the explanations of the two policies differ', (t) => {
  fc.assert(
    fc.property(arbitraryPolicy, arbitraryPolicy, arbitrarySeen, (a, b, request) => {
      const [before, after] = [policyOf(a), policyOf(b)];
      const { changes } = diffPolicies(before, after, present({ seen: [request] }));
      const [old, next] = [explained(before, request), explained(after, request)];
      t.is(changes.length, old === next ? 0 : 1);
      if (old !== next) {
        t.is(changes[0]?.before.namespace, old);
        t.is(changes[0]?.after.namespace, next);
      }
    }),
    { numRuns: tries(100) },
  );
});

/** Where the request goes; undefined: nowhere. */
function explained(policy: Policy, { caller, headers, host, userId }: SeenRequest) {
  const { issuer, subject } = caller.principal;
  const groups = (caller.claims['groups'] ?? []) as string[];
  const described = describedCaller(
    { principal: subject, issuer, groups, claims: caller.claims },
    policy,
  );
  const { allowed, target } = policy.explain({
    caller: { ...described, principal: caller.principal },
    host,
    userId,
    team: headers['x-doordash-team'],
    environment: headers['x-doordash-environment'],
  });
  return allowed ? target?.namespace : undefined;
}

const submit = (teams: string) =>
  policyOf(`batch:
  submit:
    - { who: { groups: [g] }, what: { teams: [${teams}], environments: [dev] } }
    - { who: { groups: [h] }, what: { teams: [z], environments: [dev] } }
`);

test('rules about batch jobs that only one policy has are shown, however they are written', (t) => {
  const same = policyOf(
    "batch: { submit: [{ what: { environments: ['dev'], teams: ['a'] }, who: { groups: [g] } }, { who: { groups: [h] }, what: { teams: [z], environments: [dev] } }] }\n",
  );
  t.deepEqual(diffPolicies(submit('a'), same, present()).rules, []);
  const diff = diffPolicies(submit('a'), submit('b'), present());
  t.deepEqual(
    diff.rules.map(({ change, part }) => `${change} ${part}`),
    ['gone batch.submit', 'new batch.submit'],
  );
  t.regex(diff.rules[1]?.rule ?? '', /"teams":\["b"\]/);
  t.is(diff.counts.rules, 2);
});

// What is found by indexes is what trying every entry finds, as the policy writes it.

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
    { numRuns: tries(100) },
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
    { numRuns: tries(100) },
  );
});
