import { X509Certificate } from 'node:crypto';
import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { connect } from 'node:tls';
import anyTest, { type TestFn } from 'ava';
import { TestAuthority } from '../support/certificates.js';
import { Gateway } from '../support/gateway.js';
import { PySpark, type StreamEvent } from '../support/pyspark.js';
import { PySparkError } from '../support/pyspark-error.js';
import { RowGate } from '../support/row-gate.js';
import type { Running } from '../support/running.js';
import { teamPolicy } from '../support/team-policy.js';

interface Context {
  readonly folder: string;
  readonly authority: TestAuthority;
  readonly gateway: Gateway;
  readonly pyspark: PySpark;
  readonly gate: RowGate;
  /** A query that runs through all of this; a row of it comes when a test lets it. */
  readonly query: Running<{ readonly rows: number }, StreamEvent>;
}

const test = anyTest as TestFn<Context>;

const front = { commonName: 'front', dnsNames: ['localhost'] };

test.before(async (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'changes-'));
  const authority = new TestAuthority();
  const files = authority.writeFiles(folder, 'front', front);
  Object.assign(t.context, { folder, authority });
  const [gateway, pyspark] = await Promise.all([
    Gateway.start({
      policy: teamPolicy({ maximum: 1 }),
      settings: {
        tls_cert_file: files.certFile,
        tls_key_file: files.keyFile,
        authz: { keys_cooldown: '1s' },
        drivers: { local: { cores: '2' } },
      },
    }),
    PySpark.start('4', { GRPC_DEFAULT_SSL_ROOTS_FILE_PATH: files.caFile }),
  ]);
  const gate = new RowGate();
  Object.assign(t.context, { gateway, pyspark, gate });
  await pyspark.connect('alice', await gateway.url({ user: 'alice', tls: true }));
  Object.assign(t.context, { query: pyspark.gated('alice', gate, 6) });
});

test.after.always(async (t) => {
  const { folder, gateway, pyspark, gate } = t.context;
  await pyspark?.kill();
  t.is(await gateway?.stop(), 0);
  gate?.remove();
  rmSync(folder, { recursive: true, force: true });
});

/** Lets the next row come and sees it come: what happened before has not ended the query. */
async function nextRow({ gate, query }: Context): Promise<void> {
  const row = query.events.filter(({ type }) => type === 'row').length;
  gate.open(row);
  await query.event((event) => event.type === 'row' && event.row[0] === row);
}

/** The fingerprint of the certificate that a new connection is shown. */
async function shownCertificate({ gateway, authority }: Context): Promise<string> {
  const socket = connect({
    host: 'localhost',
    port: gateway.port,
    ca: authority.certificatePem,
    ALPNProtocols: ['h2'],
  });
  await once(socket, 'secureConnect');
  const { fingerprint256 } = socket.getPeerCertificate();
  socket.destroy();
  return fingerprint256;
}

test.serial('a new policy is in force at once, and its larger pool is filled', async (t) => {
  const { gateway } = t.context;
  await nextRow(t.context);
  const before = await gateway.policy();
  gateway.setPolicy(teamPolicy({ size: 1, maximum: 2 }));
  const after = await gateway.until(
    () => gateway.policy(),
    ({ version }) => version !== before.version,
  );
  t.is(after.problem, undefined);
  await gateway.until(
    () => gateway.drivers(),
    (drivers) => drivers.some(({ phase }) => phase === 'available'),
  );
  await nextRow(t.context);
});

test.serial(
  'a policy with a mistake does not take effect; the admin API says what is wrong',
  async (t) => {
    const { gateway, pyspark } = t.context;
    const before = await gateway.policy();
    gateway.setPolicy({ ...teamPolicy(), quota: [{ sessions_per_principal: 0 }] });
    const after = await gateway.until(
      () => gateway.policy(),
      ({ problem }) => problem !== undefined,
    );
    t.is(after.version, before.version);
    t.regex(
      after.problem ?? '',
      /policy\.yaml:\d+:\d+: "quota" is no field .*did you mean "quotas"/,
    );
    await pyspark.connect('bob', await gateway.url({ user: 'bob', tls: true }));
    t.deepEqual((await pyspark.sql('bob', 'SELECT 1')).rows, [[1]]);
    await nextRow(t.context);
  },
);

test.serial('a renewed certificate is shown to new connections', async (t) => {
  const { folder, authority } = t.context;
  const issued = authority.issue(front);
  const { fingerprint256 } = new X509Certificate(issued.certificatePem);
  t.not(await shownCertificate(t.context), fingerprint256);
  writeFileSync(join(folder, 'front.crt'), issued.certificatePem);
  writeFileSync(join(folder, 'front.key'), issued.keyPem);
  await t.context.gateway.until(
    () => shownCertificate(t.context),
    (shown) => shown === fingerprint256,
  );
  await nextRow(t.context);
});

test.serial("tokens of the issuer's former and of its new key are accepted", async (t) => {
  const { gateway, pyspark } = t.context;
  await pyspark.connect('former', await gateway.url({ user: 'bob', tls: true }));
  t.is((await fetch(`${gateway.issuer}/rotate`, { method: 'POST' })).status, 200);
  await pyspark.connect('rotated', await gateway.url({ user: 'bob', tls: true }));
  for (const session of ['former', 'rotated']) {
    t.is(await pyspark.conf(session, 'spark.master'), 'local[2]');
  }
  await nextRow(t.context);
});

test.serial('the query that ran meanwhile has all its rows', async (t) => {
  const { query } = t.context;
  await nextRow(t.context);
  t.is((await query.result).rows, 6);
});

test.serial('tokens of keys that the issuer has revoked are refused', async (t) => {
  const { gateway, pyspark } = t.context;
  t.is((await fetch(`${gateway.issuer}/rotate?revoke=true`, { method: 'POST' })).status, 200);
  await pyspark.connect('newest', await gateway.url({ user: 'bob', tls: true }));
  // The keys are fetched again for its sake, though not sooner than authz.keys_cooldown allows.
  await gateway.until(
    () => pyspark.conf('newest', 'spark.master'),
    (master) => master === 'local[2]',
  );
  for (const session of ['former', 'rotated']) {
    const error = await t.throwsAsync(pyspark.conf(session, 'spark.master'), {
      instanceOf: PySparkError,
    });
    t.is(error?.code, 'UNAUTHENTICATED');
    t.regex(error?.message ?? '', /key that its issuer \S+ does not publish\. Get a new token/);
  }
});
