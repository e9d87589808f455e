import { X509Certificate } from 'node:crypto';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test from 'ava';
import { pino } from 'pino';
import { Registry } from 'prom-client';
import { type FleetProblem, namespaceReference } from '../../src/model/fleet-problem.js';
import type { PolicyObserver } from '../../src/model/policy.js';
import { kubernetesMetrics } from '../../src/processes/kubernetes.js';
import { certificateMetrics } from '../../src/processes/metrics.js';
import { policyObserver } from '../../src/processes/role-policy.js';
import { ProblemBoard } from '../../src/processes/telemetry.js';
import { compileSettings } from '../../src/settings/compile-settings.js';
import { caller, policyOf } from '../policy/support.js';
import { TestAuthority } from '../support/certificates.js';
import { ManualClock } from '../support/manual-clock.js';

// Problems.

function fixture() {
  const clock = new ManualClock();
  const board = new ProblemBoard(clock);
  const now: FleetProblem[] = [];
  board.add({ problems: () => now });
  return { clock, board, now };
}

function failing(namespace: string, message: string): FleetProblem {
  return { kind: 'pool_failing', object: namespaceReference(namespace), message };
}

test('a problem keeps its beginning while it lasts, whatever its words', async (t) => {
  const { clock, board, now } = fixture();
  now.push(failing('a', 'first'));
  const [first] = board.list();
  await clock.advance(5_000);
  now.splice(0, 1, failing('a', 'second'));
  t.like(board.list()[0], { message: 'second', sinceMs: first?.sinceMs });
  now.length = 0;
  t.deepEqual(board.list(), []);
  now.push(failing('a', 'third'));
  t.is(board.list()[0]?.sinceMs, clock.now());
});

test('every kind is counted, also those that there are none of', (t) => {
  const { board, now } = fixture();
  now.push(failing('a', 'x'), failing('b', 'x'));
  t.is(board.counts().get('pool_failing'), 2);
  t.is(board.counts().get('policy_invalid'), 0);
});

test('a flood of problems is counted in full and listed in part', (t) => {
  const { board, now } = fixture();
  for (let index = 0; index < 3_000; index += 1) now.push(failing(`ns-${index}`, 'x'));
  t.is(board.list().length, 1_000);
  t.is(board.counts().get('pool_failing'), 3_000);
});

// The policy.

test('an expression without an answer is counted each time, and logged once for each rule, code and version', (t) => {
  const counted: string[] = [];
  const metrics: PolicyObserver = {
    expressionFailed: ({ rule, code }) => counted.push(`${rule} ${code}`),
  };
  const logged: Record<string, unknown>[] = [];
  const logger = pino(
    {},
    { write: (line) => logged.push(JSON.parse(line) as Record<string, unknown>) },
  );
  const observer = policyObserver(metrics, logger);
  const rules = (name: string) =>
    policyOf(
      `access:\n  - {name: ${name}, who: {principals: ["*"]}, what: {teams: [data], environments: [dev]}, when: caller.claims.level > 3}\n`,
      { observer },
    );
  const target = { team: 'data', environment: 'dev', namespace: 'sjns-data-dev' };
  const policy = rules('seniors');
  for (const name of ['ann', 'bob', 'ann']) policy.refuseUse(caller(name), target);
  t.deepEqual(
    counted,
    Array.from({ length: 3 }, () => 'seniors no_such_key'),
  );
  t.is(logged.length, 1);
  t.like(logged[0], { version: policy.version, rule: 'seniors', code: 'no_such_key' });
  t.is(JSON.stringify(logged).includes('ann'), false);

  const next = rules('elders');
  next.refuseUse(caller('ann'), target);
  t.is(logged.length, 2);
  t.like(logged[1], { version: next.version, rule: 'elders' });
});

// Certificates.

const NOT_BEFORE = 'spark_gateway_certificate_not_before_timestamp_seconds';
const NOT_AFTER = 'spark_gateway_certificate_not_after_timestamp_seconds';

/** When the certificate ends, seconds since the epoch. */
const until = (pem: string) => Date.parse(new X509Certificate(pem).validTo) / 1000;

test('Prometheus is told for how long each certificate is good, as its file is now', async (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'certificates-'));
  t.teardown(() => rmSync(folder, { recursive: true }));
  const authority = new TestAuthority();
  const names = { commonName: 'gateway', dnsNames: ['gateway'] };
  const { certFile, keyFile, caFile } = authority.writeFiles(folder, 'mtls', names);
  const tls = join(folder, 'tls.crt');
  const settings = compileSettings({
    env: {},
    cwd: folder,
    overrides: [
      ['mtls.cert_file', certFile],
      ['mtls.key_file', keyFile],
      ['mtls.ca_file', caFile],
      ['tls_cert_file', tls],
      ['tls_key_file', keyFile],
    ],
  });
  const told = async (role: 'control-plane' | 'authz') => {
    const registry = new Registry();
    certificateMetrics(registry, role, settings);
    const { values = [] } = (await registry.getSingleMetric(NOT_AFTER)?.get()) ?? {};
    return Object.fromEntries(values.map(({ labels, value }) => [labels['setting'], value]));
  };
  const authorityEnds = until(authority.certificatePem);

  const first = await told('control-plane');
  t.deepEqual(Object.keys(first), ['mtls.cert_file', 'mtls.ca_file'], 'a file that is missing');
  t.is(first['mtls.ca_file'], authorityEnds);

  const { certificatePem } = authority.issue(names);
  writeFileSync(tls, `${certificatePem}\n${authority.certificatePem}`);
  const second = await told('control-plane');
  t.is(second['tls_cert_file'], Math.min(until(certificatePem), authorityEnds));
  t.deepEqual(Object.keys(await told('authz')), ['mtls.cert_file', 'mtls.ca_file']);

  writeFileSync(tls, '-----BEGIN CERTIFICATE-----\nbroken\n-----END CERTIFICATE-----\n');
  t.false('tls_cert_file' in (await told('control-plane')));

  const registry = new Registry();
  const read: string[] = [];
  certificateMetrics(registry, 'authz', settings, (file) => {
    read.push(file);
    return readFile(file, 'utf8');
  });
  for (let scrape = 1; scrape <= 2; scrape++) {
    const metrics = await registry.metrics();
    for (const name of [NOT_BEFORE, NOT_AFTER]) {
      t.regex(metrics, new RegExp(`^${name}\\{setting="mtls.cert_file"\\} \\d+`, 'm'));
    }
    t.is(read.length, 2 * scrape, 'each file is read once in a scrape');
  }
});

// Requests to Kubernetes.

const watch = (namespace: string) => ({
  server: 'https://kubernetes',
  path: `/api/v1/namespaces/${namespace}/pods`,
  query: {},
});

function setUp() {
  const registry = new Registry();
  const clock = new ManualClock();
  const { onWatch } = kubernetesMetrics(registry, clock);
  const value = async (series: string) =>
    Number(
      (await registry.metrics())
        .split('\n')
        .find((line) => line.startsWith(`spark_gateway_kubernetes_watch_${series} `))
        ?.split(' ')
        .at(-1),
    );
  return { clock, onWatch, value };
}

const LAST_EVENT = 'last_event_timestamp_seconds{resource="pods"}';

test('one silent watch shows among others of its kind that tell something', async (t) => {
  const { clock, onWatch, value } = setUp();
  onWatch('opened', watch('quiet'));
  onWatch('opened', watch('busy'));
  const openedAtMs = clock.now();
  await clock.advance(200_000);
  onWatch('event', watch('busy'));
  t.is(await value(LAST_EVENT), openedAtMs / 1000);
  onWatch('event', watch('quiet'));
  t.is(await value(LAST_EVENT), clock.now() / 1000);
});

test('a watch that cannot be opened again is not taken for one that tells something', async (t) => {
  const { clock, onWatch, value } = setUp();
  onWatch('opened', watch('a'));
  const openedAtMs = clock.now();
  t.is(await value('failures_total{resource="pods",reason="expired"}'), 0);
  await clock.advance(200_000);
  onWatch('broken', watch('a'));
  onWatch('expired', watch('a'));
  t.is(await value(LAST_EVENT), openedAtMs / 1000);
  t.is(await value('failures_total{resource="pods",reason="broken"}'), 1);
  t.is(await value('failures_total{resource="pods",reason="expired"}'), 1);
  t.is(await value('starts_total{resource="pods"}'), 1);
});
