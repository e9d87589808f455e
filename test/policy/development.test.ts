import test from 'ava';
import { readFile } from 'node:fs/promises';
import { loadSettings } from '../../src/settings/compile-settings.js';
import { policyOptions } from '../../src/settings/policy-options.js';
import { findPerson, issuerUrl } from '../../src/issuer/tokens.js';
import { compilePolicy } from '../../src/policy/compile.js';
import type { Caller } from '../../src/model/principal.js';

const settings = await loadSettings({
  file: 'config/development/gateway.yaml',
  env: {},
  overrides: [],
  cwd: process.cwd(),
});
const policy = compilePolicy(
  await readFile(settings.policyFile, 'utf8'),
  settings.policyFile,
  policyOptions(settings),
);

function person(user: string): Caller {
  const found = findPerson(user);
  if (!found) throw new TypeError(`there is no ${user}`);
  const { subject, groups, team } = found;
  const issuer = policy.issuers[0]?.issuer ?? '';
  return { principal: { issuer, subject }, groups, claims: team === undefined ? {} : { team } };
}

const alice = person('alice');
const carol = person('carol');
const nightly = person('nightly-reports');

const cases: readonly (readonly [Caller, string, string, boolean])[] = [
  [alice, 'data', 'dev', true],
  [alice, 'data', 'staging', true],
  [alice, 'data', 'prod', false],
  [alice, 'ml', 'dev', false],
  [carol, 'ml', 'dev', true],
  [carol, 'data', 'dev', false],
  [nightly, 'data', 'prod', true],
  [person('dave'), 'data', 'dev', false],
];
for (const [who, team, environment, allowed] of cases) {
  test(`development: ${who.principal.subject} ${allowed ? 'may' : 'may not'} use ${team} in ${environment}`, (t) => {
    const target = { team, environment, namespace: `sjns-${team}-${environment}` };
    t.is(policy.refuseUse(who, target) === undefined, allowed);
  });
}

test('development: a small pool stands ready, and tokens of the development issuer are accepted', (t) => {
  t.deepEqual(policy.warmNamespaces, ['sjns-data-dev']);
  t.like(policy.pool('sjns-data-dev'), { size: 2, maximum: 4, sessionsPerDriver: 1 });
  t.like(policy.issuers, [
    {
      issuer: issuerUrl(settings.issuer.listenAddr),
      audiences: [settings.issuer.audience],
      clientIds: [settings.issuer.clientId],
    },
  ]);
});
