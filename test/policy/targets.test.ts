import test from 'ava';
import * as fc from 'fast-check';
import { GatewayError } from '../../src/model/errors.js';
import type { Target, TargetRequest } from '../../src/model/policy.js';
import { compileNamespaceTemplate } from '../../src/policy/namespace-template.js';
import { TemplateProblem } from '../../src/policy/namespace-template.js';
import { type NamespaceTemplate } from '../../src/policy/namespace-template.js';
import { caller, options, policyOf, request } from './support.js';

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

const word = fc.stringMatching(/^[a-c]([a-c-]{0,4}[a-c])?$/);
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
  const environments = fc.option(fc.uniqueArray(word, { minLength: 1, maxLength: 4 }), {
    nil: undefined,
  });
  fc.assert(
    fc.property(
      template,
      environments,
      fc.array(word),
      fc.array(word),
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
    { numRuns: 300 },
  );
});
