/** Arbitrary policies and callers over few names, so that they often meet. */
import * as fc from 'fast-check';
import { stringify } from 'yaml';
import { CERTIFICATE_ISSUER, type Caller, NETWORK_ISSUER } from '../../src/model/principal.js';
import { ISSUER } from './support.js';

const subject = fc.constantFrom('a', 'b@example.com', 'c', 'airflow', 'etl');
const namePattern = fc.oneof(subject, fc.constantFrom('*', '*@example.com', 'a*', 'x*y'));
const group = fc.constantFrom('data-eng', 'data-ops', 'ml', 'web');
const groupPattern = fc.oneof(group, fc.constantFrom('data-*', '*-ops', '*', 'm*l', 'none-*'));

export const arbitraryCaller: fc.Arbitrary<Caller> = fc.record({
  principal: fc.record({
    issuer: fc.oneof(
      { weight: 4, arbitrary: fc.constant(ISSUER) },
      { weight: 1, arbitrary: fc.constantFrom(CERTIFICATE_ISSUER, NETWORK_ISSUER, 'https://x.y') },
    ),
    subject,
  }),
  groups: fc.uniqueArray(group, { maxLength: 3 }),
  claims: fc.oneof(
    fc.constant({}),
    fc.record({
      email: fc.constantFrom('a', 'b@example.com'),
      team: fc.constantFrom('web', ['web', 'data'], 5, '*'),
    }),
  ),
});

const arbitraryWho = fc
  .record({
    groups: fc.uniqueArray(groupPattern, { maxLength: 2 }),
    principals: fc.uniqueArray(namePattern, { maxLength: 2 }),
    services: fc.uniqueArray(fc.constantFrom('airflow', 'etl', 'a*'), { maxLength: 1 }),
    issuers: fc.uniqueArray(fc.constant(ISSUER), { maxLength: 1 }),
  })
  .filter((who) => who.groups.length + who.principals.length + who.services.length > 0);

const rule = fc.record(
  {
    who: arbitraryWho,
    what: fc.record({
      teams: fc.uniqueArray(fc.constantFrom('data', 'ml-*', '*', '${team}'), {
        minLength: 1,
        maxLength: 2,
      }),
      environments: fc.uniqueArray(fc.constantFrom('dev', 'prod', '*', 'd*'), {
        minLength: 1,
        maxLength: 2,
      }),
    }),
    when: fc.constantFrom(
      '"ml" in caller.groups',
      'caller.claims.email.startsWith("a")',
      'environment == "dev" && host == "dev.example.com"',
    ),
    mode: fc.constantFrom('enforce', 'shadow'),
  },
  { requiredKeys: ['who', 'what'] },
);

const batchRule = fc.record(
  {
    who: arbitraryWho.map(({ groups, principals }) => ({
      groups,
      principals: [...principals, 'a'],
    })),
    what: fc.record({
      teams: fc.constantFrom(['data'], ['Data_Team', 'x.*'], ['*']),
      environments: fc.constantFrom(['local', 'test'], ['*']),
    }),
    name: fc.constantFrom('people', 'a rule'),
  },
  { requiredKeys: ['who', 'what'] },
);

const arbitraryBatch = fc.record(
  {
    speak_for: fc.constantFrom(
      [{ services: ['local'], users: ['*'] }],
      [{ services: ['air*'], users: ['*@x'], groups: ['g'], environments: ['dev'] }],
    ),
    submit: fc.array(batchRule, { maxLength: 2 }),
    read: fc.array(batchRule, { maxLength: 2 }),
    limits: fc.constantFrom(
      [{ jobs_per_owner: 0, deadline: '1h30m', sandbox: 'required' }],
      [
        {
          match: { teams: ['Data_Team'], environments: ['d*'], namespaces: ['*'] },
          engines: { '3.5': {}, '4.1': { template: 't', image: 'registry:5000/a/b@sha256:0' } },
          largest: { driver: { cores: 64 }, executor: { memory: '512MiB', instances: 1 } },
        },
      ],
    ),
  },
  { requiredKeys: [] },
);

/** What comes behind the head of a policy, as text. */
export const arbitraryPolicy: fc.Arbitrary<string> = fc
  .record(
    {
      services: fc.constant([{ name: 'airflow', subjects: ['x'] }]),
      source_networks: fc.constant([{ name: 'etl', networks: ['10.0.0.0/8'] }]),
      targets: fc.constantFrom(
        { team_claim: 'team', environment_by_host: { 'dev.example.com': 'dev' } },
        { environments: ['dev', 'prod'] },
        {},
      ),
      user_id: fc.constantFrom({ claim: 'email' }, { claim: 'email', ignore_domain: true }),
      access: fc.array(rule, { maxLength: 4 }),
      config_rules: fc.constantFrom(
        [{ keys: ['spark.s*'], refuse: ['get'], except: [{ groups: ['ml'] }] }],
        [{ keys: ['spark.secret'], when_unseen: 'allow', match: { environments: ['dev'] } }],
        [{ keys: ['*'], mode: 'shadow' }],
      ),
      batch: arbitraryBatch,
      pools: fc.constantFrom([{ match: { environments: ['dev'] } }], [{}]),
    },
    { requiredKeys: ['services', 'source_networks', 'access'] },
  )
  .map((document) => stringify(document, { aliasDuplicateObjects: false }));
