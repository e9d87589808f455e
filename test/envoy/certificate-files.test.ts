import { mkdtempSync, rmSync, unlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test from 'ava';
import { pino } from 'pino';
import type { EncodedResource } from '../../src/xds/resource.js';
import { CertificateFiles, type CertificateSettings } from '../../src/envoy/certificates.js';
import { TestAuthority } from '../support/certificates.js';
import { ManualClock } from '../support/manual-clock.js';

const REFRESH_MS = 10_000;

function setUp(t: { teardown(end: () => void): void }) {
  const directory = mkdtempSync(join(tmpdir(), 'certificates-'));
  t.teardown(() => rmSync(directory, { recursive: true }));
  const authority = new TestAuthority();
  const files = authority.writeFiles(directory, 'front', { commonName: 'gateway' });
  const clock = new ManualClock();
  const changed: EncodedResource[] = [];
  const log: string[] = [];
  const open = (settings: CertificateSettings) =>
    new CertificateFiles(settings, {
      clock,
      logger: pino({}, { write: (line: string) => log.push(line) }),
      refreshMs: REFRESH_MS,
      onChange: (secret) => changed.push(secret),
    });
  return { authority, files, clock, changed, log, open };
}

const text = (resource: EncodedResource | undefined) =>
  resource?.sotwField.toString('latin1') ?? '';

test('the front has its certificate and a trust that asks for no client certificate', (t) => {
  const { files, open } = setUp(t);
  const secrets = open({ front: files }).secrets();
  t.deepEqual(
    secrets.map(({ name }) => name),
    ['front_certificate', 'client_ca'],
  );
  t.notRegex(text(secrets[1]), /BEGIN CERTIFICATE/);
});

test('a client authority makes the front ask for certificates', (t) => {
  const { files, open } = setUp(t);
  const [, trust] = open({ front: files, clientCaFile: files.caFile }).secrets();
  t.regex(text(trust), /BEGIN CERTIFICATE/);
});

test('mutual TLS to drivers has secrets of its own', (t) => {
  const { files, open } = setUp(t);
  const secrets = open({ drivers: { ...files, names: ['spark-driver'] } }).secrets();
  t.deepEqual(
    secrets.map(({ name }) => name),
    ['driver_client_certificate', 'driver_ca'],
  );
  t.regex(text(secrets[1]), /spark-driver/);
});

test('a renewed certificate is handed on, an unchanged one is not', async (t) => {
  const { authority, files, clock, changed, open } = setUp(t);
  const certificates = open({ front: files });
  await clock.advance(REFRESH_MS);
  t.is(changed.length, 0);
  const renewed = authority.issue({ commonName: 'gateway' });
  writeFileSync(files.certFile, renewed.certificatePem);
  writeFileSync(files.keyFile, renewed.keyPem);
  await clock.advance(REFRESH_MS);
  t.deepEqual(
    changed.map(({ name }) => name),
    ['front_certificate'],
  );
  t.true(text(certificates.secrets()[0]).includes(renewed.certificatePem));
});

test('a new certificate beside the old key is refused with one log line until the key follows', async (t) => {
  const { authority, files, clock, changed, log, open } = setUp(t);
  const certificates = open({ front: files });
  const before = certificates.secrets()[0]?.version;
  const renewed = authority.issue({ commonName: 'gateway' });
  writeFileSync(files.certFile, renewed.certificatePem);
  await clock.advance(3 * REFRESH_MS);
  t.is(changed.length, 0);
  t.is(certificates.secrets()[0]?.version, before);
  t.is(log.length, 1);
  t.notRegex(log[0] ?? '', /BEGIN/);
  writeFileSync(files.keyFile, renewed.keyPem);
  await clock.advance(REFRESH_MS);
  t.is(changed.length, 1);
});

test('a half-written or missing file is refused and the last good secret stays', async (t) => {
  const { authority, files, clock, changed, log, open } = setUp(t);
  open({ front: files, clientCaFile: files.caFile });
  const chain = `${authority.issue({ commonName: 'gateway' }).certificatePem}${authority.certificatePem.slice(0, 200)}`;
  writeFileSync(files.certFile, chain);
  unlinkSync(files.caFile);
  await clock.advance(REFRESH_MS);
  t.is(changed.length, 0);
  t.is(log.length, 2);
});

test('a chain that is cut short is refused even when its first certificate is whole', async (t) => {
  const { authority, files, clock, changed, open } = setUp(t);
  open({ front: files });
  const issued = authority.issue({ commonName: 'gateway' });
  writeFileSync(files.keyFile, issued.keyPem);
  writeFileSync(
    files.certFile,
    `${issued.certificatePem}${authority.certificatePem.slice(0, 200)}`,
  );
  await clock.advance(REFRESH_MS);
  t.is(changed.length, 0);
  writeFileSync(files.certFile, `${issued.certificatePem}${authority.certificatePem}`);
  await clock.advance(REFRESH_MS);
  t.is(changed.length, 1);
});

test('what cannot be used at the start is an error that names the file', (t) => {
  const { files, open } = setUp(t);
  writeFileSync(files.keyFile, 'no key');
  t.throws(() => open({ front: files }), {
    code: 'SETTINGS_INVALID',
    message: new RegExp(files.keyFile),
  });
});
