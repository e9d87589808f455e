import test from 'ava';
import type { ConfigRequest } from '../../src/model/policy.js';
import { caller, HEAD, mistakesIn, policyOf } from './support.js';

const policy = policyOf(`
config_rules:
  - keys: ['spark.hadoop.fs.s3a.*', spark.secret]
    match: {environments: [prod]}
    except: [{groups: [sre]}]
  - {keys: [spark.read.only], refuse: [set], when_unseen: allow}
`);
const dana = caller('dana');
const sam = caller('sam', { groups: ['sre'] });

function code(config: Partial<ConfigRequest>, environment = 'prod', who = dana) {
  const target = { team: 'data', environment, namespace: `sjns-data-${environment}` };
  const request = { reads: [], writes: [], lists: [], whole: true, ...config };
  return policy.refuseConfig(who, target, request);
}

const allowed: readonly (readonly [string, Partial<ConfigRequest>])[] = [
  ['another setting', { reads: ['spark.sql.shuffle.partitions'], writes: ['spark.a'] }],
  ['reading what only must not be set', { reads: ['spark.read.only'], lists: ['spark.read'] }],
  ['listing what begins otherwise', { lists: ['spark.sql', 'spark.secrets'] }],
];
for (const [title, config] of allowed) {
  test(`allowed: ${title}`, (t) => {
    t.is(code(config), undefined);
  });
}

const refused: readonly (readonly [string, Partial<ConfigRequest>, RegExp])[] = [
  [
    'reading by name',
    { reads: ['spark.a', 'spark.hadoop.fs.s3a.secret.key'] },
    /^The policy keeps the setting "spark\.hadoop\.fs\.s3a\.secret\.key" from being read\. Leave it out, /,
  ],
  ['setting', { writes: ['spark.secret'] }, /"spark\.secret" from being set\./],
  ['setting what is only to be read', { writes: ['spark.read.only'] }, /from being set\./],
  [
    'listing all',
    { lists: [''] },
    /would list settings .* \(spark\.hadoop\.fs\.s3a\.\*, spark\.secret\)/,
  ],
  ['listing a part of a pattern', { lists: ['spark.hadoop'] }, /would list/],
  ['listing within a pattern', { lists: ['spark.hadoop.fs.s3a.bucket'] }, /would list/],
  ['listing by the beginning of a name', { lists: ['spark.sec'] }, /would list/],
  ['what is longer than can be seen', { whole: false }, /is longer than the gateway reads/],
];
for (const [title, config, message] of refused) {
  test(`refused: ${title}`, (t) => {
    t.is(code(config)?.code, 'CONFIG_REFUSED');
    t.regex(code(config)?.message ?? '', message);
  });
}

test('a rule is for the namespaces that it matches, and not for those whom it excepts', (t) => {
  t.is(code({ reads: ['spark.secret'] }, 'dev'), undefined);
  t.is(code({ reads: ['spark.secret'] }, 'prod', sam), undefined);
  t.is(code({ whole: false }, 'prod', sam), undefined);
});

test('an explanation tells of it', (t) => {
  const open = policyOf(`
access: [{who: {principals: ["*"]}, what: {teams: ["*"], environments: ["*"]}}]
config_rules: [{keys: [spark.secret]}]
`);
  const asked = { caller: dana, team: 'data', environment: 'dev' };
  t.is(
    open.explain({ ...asked, config: { reads: ['spark.secret'] } }).refusal?.code,
    'CONFIG_REFUSED',
  );
  t.true(open.explain(asked).allowed);
  t.true(open.explain({ ...asked, config: { reads: ['spark.a'] } }).allowed);
});

test('mistakes are told', (t) => {
  t.deepEqual(
    mistakesIn(
      `${HEAD}access: []\nconfig_rules: [{keys: ["a b"], refuse: [list], except: [{services: [x]}]}]\n`,
    ),
    [
      `policy.yaml:5:24: "a b" is not a Spark setting's name, in which * stands for any text`,
      'policy.yaml:5:41: "list" is not get or set',
      'policy.yaml:5:58: "x" is no service or source network of this policy',
    ],
  );
});
