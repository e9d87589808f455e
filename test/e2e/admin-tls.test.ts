import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test from 'ava';
import { TestAuthority } from '../support/certificates.js';
import { Gateway } from '../support/gateway.js';
import { StaticDrivers } from '../support/static-drivers.js';
import { teamPolicy } from '../support/team-policy.js';

test('with a certificate on the admin port, start comes up and commands reach it by https', async (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'admin-tls-'));
  t.teardown(() => rmSync(folder, { recursive: true }));
  const { certFile, keyFile, caFile } = new TestAuthority().writeFiles(folder, 'admin', {
    commonName: 'gateway',
    dnsNames: ['localhost'],
    ipv4: ['127.0.0.1'],
  });
  const drivers = new StaticDrivers();
  t.teardown(() => drivers.remove());
  const gateway = await Gateway.start({
    policy: teamPolicy({ size: 0 }),
    settings: {
      admin: { cert_file: certFile, key_file: keyFile },
      drivers: { source: 'static', static_file: drivers.file },
    },
  });
  t.teardown(() => gateway.stop());

  const { port } = new URL(gateway.adminUrl);
  const server = `https://localhost:${port}`;
  const named = await gateway.command('status', '--server', server, '--ca-file', caFile);
  t.is(named.exitCode, 0, named.errors);
  t.regex(named.output, /leads/);
  const bySettings = await gateway.command('envoys', '--ca-file', caFile);
  t.is(bySettings.exitCode, 0, bySettings.errors);
  const unknown = await gateway.command('status');
  t.is(unknown.exitCode, 3);
  t.regex(unknown.errors, /https:\/\/127\.0\.0\.1:\d+ cannot be reached: .*certificate/);
  await t.throwsAsync(fetch(`http://localhost:${port}/metrics`));
  t.is(await gateway.stop(), 0);
});
