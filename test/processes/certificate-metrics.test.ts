import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { X509Certificate } from 'node:crypto';
import test from 'ava';
import { Registry } from 'prom-client';
import { certificateMetrics } from '../../src/processes/metrics.js';
import { compileSettings } from '../../src/settings/compile-settings.js';
import { TestAuthority } from '../support/certificates.js';

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
