import test from 'ava';
import { policyOf } from './support.js';
import { caller } from './support.js';

const policy = policyOf(`
services:
  - {name: airflow, uri_sans: ["spiffe://cluster/ns/airflow/sa/*"]}
  - {name: reports, dns_sans: ["*.reports.example.com"], subjects: ["CN=reports,O=Example"]}
source_networks:
  - {name: etl, networks: [10.1.0.0/16, "fd00::/8"]}
  - {name: rest, networks: [10.0.0.0/8]}
`);

const certificates: readonly (readonly [string, string | undefined])[] = [
  ['spiffe://cluster/ns/airflow/sa/scheduler', 'airflow'],
  ['spiffe://cluster/ns/airflow/sa/a/b', undefined],
  ['spiffe://cluster/ns/evil/sa/airflow', undefined],
  ['spiffe://other/ns/airflow/sa/scheduler', undefined],
];
for (const [san, name] of certificates) {
  test(`${san} is ${name ?? 'nobody'}`, (t) => {
    const found = policy.service({ uriSans: [san], dnsSans: [], subject: '' });
    t.is(found?.principal.subject, name);
  });
}

test('a certificate may be known by a DNS name or its subject', (t) => {
  const of = (dns: string, subject = ''): string | undefined =>
    policy.service({ uriSans: [], dnsSans: [dns], subject })?.principal.subject;
  t.is(of('a.reports.example.com'), 'reports');
  t.is(of('a.b.reports.example.com'), undefined);
  t.is(of('x', 'CN=reports,O=Example'), 'reports');
  t.deepEqual(policy.service({ uriSans: [], dnsSans: ['a.reports.example.com'], subject: '' }), {
    principal: { issuer: 'certificate', subject: 'reports' },
    groups: [],
    claims: {},
  });
});

const addresses: readonly (readonly [string, string | undefined])[] = [
  ['10.1.2.3', 'etl'],
  ['::ffff:10.1.2.3', 'etl'],
  ['10.2.2.3', 'rest'],
  ['fd12::1', 'etl'],
  ['192.168.0.1', undefined],
  ['not an address', undefined],
];
for (const [address, name] of addresses) {
  test(`a request from ${address} is from ${name ?? 'nobody'}`, (t) => {
    t.is(policy.sourceNetwork(address)?.principal.subject, name);
  });
}

test('source networks are off by default', (t) => {
  t.is(policyOf('').sourceNetwork('10.1.2.3'), undefined);
});

test('user_id is free unless the policy says otherwise', (t) => {
  t.is(policyOf('').refuseUserId(caller('alice'), 'root'), undefined);
});

test('user_id must be the claim where the policy asks for it', (t) => {
  const strict = policyOf('user_id: {claim: email}');
  const alice = caller('a1', { claims: { email: 'alice@example.com' } });
  t.is(strict.refuseUserId(alice, 'alice@example.com'), undefined);
  t.is(strict.refuseUserId(alice, 'bob@example.com')?.code, 'USER_ID_MISMATCH');
  t.is(strict.refuseUserId(alice, '')?.code, 'USER_ID_MISMATCH');
  t.is(strict.refuseUserId(caller('a1'), 'a1')?.code, 'USER_ID_MISMATCH');
  t.regex(
    strict.refuseUserId(alice, 'bob')?.message ?? '',
    /user_id "bob" is not yours: put ;user_id=alice@example.com into/,
  );
});

test('user_id may leave out the domain, and services act for people', (t) => {
  const loose = policyOf('user_id: {claim: email, ignore_domain: true}');
  const alice = caller('a1', { claims: { email: 'alice@example.com' } });
  t.is(loose.refuseUserId(alice, 'alice'), undefined);
  t.is(loose.refuseUserId(alice, 'bob')?.code, 'USER_ID_MISMATCH');
  const service = {
    principal: { issuer: 'certificate', subject: 'airflow' },
    groups: [],
    claims: {},
  };
  t.is(loose.refuseUserId(service, 'whoever'), undefined);
});
