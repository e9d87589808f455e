import test from 'ava';
import { CERTIFICATE_ISSUER, type Caller } from '../../src/model/principal.js';
import { caller, HEAD, ISSUER, mistakesIn, policyOf } from './support.js';

const policy = policyOf(`
services: [{name: watcher, subjects: [x]}]
administration:
  read:
    - {groups: [spark-users]}
    - {services: [watcher]}
  admin:
    - {groups: ["sre-*"], issuers: ["${ISSUER}"]}
    - {principals: [root@example.com]}
`);

const watcher: Caller = {
  principal: { issuer: CERTIFICATE_ISSUER, subject: 'watcher' },
  groups: [],
  claims: {},
};
const sreElsewhere: Caller = {
  principal: { issuer: 'https://other.example.com', subject: 'sam' },
  groups: ['sre-on-call'],
  claims: {},
};

const cases: readonly (readonly [string, Caller, 'none' | 'read' | 'admin'])[] = [
  ['a user', caller('uma', { groups: ['spark-users'] }), 'read'],
  ['an engineer on call', caller('sam', { groups: ['spark-users', 'sre-on-call'] }), 'admin'],
  ['a principal by name', caller('root@example.com'), 'admin'],
  ['a service', watcher, 'read'],
  ['a group of another issuer', sreElsewhere, 'none'],
  ['anybody else', caller('eve'), 'none'],
];
for (const [title, who, role] of cases) {
  test(`${title} has the role ${role}`, (t) => {
    t.is(policy.administration(who), role);
  });
}

test('without the part nobody has a role', (t) => {
  t.is(policyOf('').administration(caller('root@example.com')), 'none');
});

test('with several issuers a rule says whose tokens it is for', (t) => {
  const two = HEAD.replace(
    'issuers: [',
    'issuers: [{issuer: "https://other.example.com", audiences: [api]}, ',
  );
  const rules = (who: string) =>
    mistakesIn(`${two}access: []\nadministration: {admin: [${who}]}\n`);
  t.deepEqual(rules('{groups: [sre]}'), [
    `policy.yaml:5:26: with several issuers it must say whose tokens it is for: add issuers: [<one or more of https://other.example.com, ${ISSUER}>]`,
  ]);
  t.deepEqual(rules(`{groups: [sre], issuers: ["${ISSUER}"]}`), []);
});

test('mistakes are those of access rules', (t) => {
  t.deepEqual(
    mistakesIn(`${HEAD}access: []\nadministration: {read: [{}], admin: [{services: [x]}]}\n`),
    [
      'policy.yaml:5:25: who needs groups, principals or services; principals: ["*"] is everyone with a token',
      'policy.yaml:5:39: "x" is no service or source network of this policy',
    ],
  );
});
