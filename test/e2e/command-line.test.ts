import { writeFile } from 'node:fs/promises';
import { hostname } from 'node:os';
import { join } from 'node:path';
import anyTest, { type TestFn } from 'ava';
import type {
  DriverView,
  SessionView,
  SidecarView,
  StatusView,
} from '../../src/model/admin-api.js';
import type { PolicyDiff } from '../../src/model/policy-diff.js';
import { Gateway } from '../support/gateway.js';
import { PySpark } from '../support/pyspark.js';
import type { PySparkError } from '../support/pyspark-error.js';
import { routingPolicy } from '../support/routing-policy.js';

const test = anyTest as TestFn<{ gateway: Gateway; pyspark: PySpark }>;

test.before(async (t) => {
  [t.context.gateway, t.context.pyspark] = await Promise.all([
    Gateway.start({
      policy: routingPolicy({
        administration: {
          admin: [{ principals: ['alice@example.com'] }],
          read: [{ principals: ['bob@example.com'] }],
        },
        pools: [{ size: 1, maximum: 3, sessions_per_driver: 1, after_use: 'replace' }],
        warm_namespaces: ['sjns-data-dev'],
      }),
    }),
    PySpark.start('4'),
  ]);
});

test.after.always(async (t) => {
  await t.context.pyspark?.kill();
  t.is(await t.context.gateway?.stop(), 0);
});

test.serial('each command shows a session and its driver, to people and to programs', async (t) => {
  const { gateway, pyspark } = t.context;
  const { sessionId } = await pyspark.connect('alice', await gateway.url());
  await pyspark.sql('alice', 'SELECT 1');
  const { uid } = await gateway.driverOf(sessionId);

  const table = await gateway.command('sessions');
  t.is(table.exitCode, 0);
  t.regex(
    table.output,
    new RegExp(`^${sessionId.slice(0, 8)} +alice@example.com +data +dev `, 'm'),
  );
  const json = await gateway.command('sessions', '-o', 'json', '--team', 'data');
  t.like((JSON.parse(json.output) as SessionView[])[0], { id: sessionId, driver: uid });
  t.is((await gateway.command('sessions', '--team', 'ml')).output, 'There is no session.\n');
  const one = await gateway.command('sessions', sessionId.slice(0, 8));
  t.regex(one.output, new RegExp(`^driver: +${uid}$`, 'm'));

  t.regex((await gateway.command('drivers')).output, / in_use +yes +1 +alice@example.com /);
  const yaml = await gateway.command('drivers', uid, '-o', 'yaml');
  t.regex(yaml.output, new RegExp(`^uid: ${uid}$`, 'm'));
  t.regex((await gateway.command('pools')).output, /^sjns-data-dev +1 +3 /m);
  const envoys = await gateway.until(
    () => gateway.command('envoys'),
    ({ output }) => / SYNCED .* SYNCED/.test(output),
  );
  t.is(envoys.exitCode, 0);
  const { version } = await gateway.policy();
  const sidecars = await gateway.until(
    () => gateway.command('sidecars', '-o', 'json'),
    ({ output }) => output.includes(version),
  );
  const [sidecar] = JSON.parse(sidecars.output) as SidecarView[];
  t.like(sidecar, { connected: true, name: hostname(), policy: { version } });
  const status = await gateway.command('status', '-o', 'json');
  t.like(JSON.parse(status.output) as StatusView, { sessions: 1, problems: [] });
});

test.serial(
  'a candidate that shuts alice out shows her session before it is the policy',
  async (t) => {
    const { gateway, pyspark } = t.context;
    const { sessionId } = await pyspark.identity('alice');
    const diff = async (name: string, change: (inForce: string) => string) => {
      const file = join(gateway.folder, name);
      await writeFile(file, change((await gateway.policy()).text));
      const { exitCode, output, errors } = await gateway.command(
        'policy',
        'diff',
        file,
        '-o',
        'json',
      );
      return {
        exitCode,
        errors,
        diff: output === '' ? undefined : (JSON.parse(output) as PolicyDiff),
      };
    };
    const same = await gateway.until(
      () => diff('same.yaml', (inForce) => inForce),
      (answer) => answer.diff?.counts.unknown === 0,
    );
    t.is(same.exitCode, 0, same.errors);
    const shut = await diff('shut.yaml', (inForce) => inForce.replace('- everyone', '- nobody'));
    t.is(shut.exitCode, 1, shut.errors);
    const lost = shut.diff?.changes.find(({ session }) => session === sessionId);
    t.is(lost?.after.refusal?.code, 'NAMESPACE_REFUSED');
    t.is((await pyspark.sql('alice', 'SELECT 1')).rows[0]?.[0], 1, 'nothing has changed');
    const bad = await diff('bad.yaml', (inForce) => `${inForce}\nnonsense: 1\n`);
    t.is(bad.exitCode, 2);
    t.regex(bad.errors, /bad\.yaml:\d+:\d+: /);
  },
);

test.serial('exit codes tell scripts why a command failed', async (t) => {
  const { gateway } = t.context;
  const refused = await gateway.command('drain', 'nobody', '--as', 'bob');
  t.is(refused.exitCode, 1);
  t.regex(refused.errors, /^spark-gateway: There is no driver nobody; .*lists them/);
  const [driver] = await gateway.drivers();
  const denied = await gateway.command('evict', driver?.uid ?? '', '--as', 'bob');
  t.is(denied.exitCode, 4);
  t.regex(denied.errors, /bob@example\.com lacks the role "admin"/);
  t.is((await gateway.command('status', '--as', 'carol')).exitCode, 4);
  t.is((await gateway.command('sessions', '--phase', 'x')).exitCode, 2);
  const nowhere = await gateway.command('status', '--server', 'http://127.0.0.1:1');
  t.is(nowhere.exitCode, 3);
  t.regex(nowhere.errors, /cannot be reached/);
});

test.serial('a drained driver keeps its session, and ends when that stops', async (t) => {
  const { gateway, pyspark } = t.context;
  const { sessionId } = await pyspark.identity('alice');
  const { uid } = await gateway.driverOf(sessionId);
  const drained = await gateway.command('drain', uid, '--deadline', '1h');
  t.is(drained.exitCode, 0, drained.errors);
  t.regex(drained.output, /takes no new session; it has 1 session and ends them at 20/);
  const waiting = gateway.command('drain', uid, '--wait');
  await gateway.until(
    () => gateway.driverOf(sessionId),
    ({ drainDeadline }) => drainDeadline === undefined,
  );
  t.deepEqual((await pyspark.sql('alice', 'SELECT 42')).rows, [[42]]);
  await pyspark.stop('alice');
  const ended = await waiting;
  t.is(ended.exitCode, 0, ended.errors);
  t.is(ended.output, `Driver ${uid} has ended.\n`);
  t.regex(ended.errors, /has 1 session and ends when the last one leaves/);
});

test.serial('a released session has ended: its client is told, and begins another', async (t) => {
  const { gateway, pyspark } = t.context;
  const { sessionId } = await pyspark.connect('bob', await gateway.url({ user: 'bob' }));
  await pyspark.sql('bob', 'SELECT 1');
  const released = await gateway.command('release', sessionId.slice(0, 10));
  t.is(released.exitCode, 0, released.errors);
  t.regex(released.output, new RegExp(`^Session ${sessionId} has ended`));
  t.is((await gateway.command('release', sessionId)).exitCode, 0, 'again does no harm');
  const error = await t.throwsAsync<PySparkError>(pyspark.sql('bob', 'SELECT 1'));
  t.regex(error?.message ?? '', /INVALID_HANDLE\.SESSION_CHANGED.*was stopped/s);
  const after = await gateway.command('sessions', sessionId, '-o', 'json');
  t.like(JSON.parse(after.output), { state: 'ended', end: 'released' });
});

test.serial('an evicted driver ends under its session, which is told why', async (t) => {
  const { gateway, pyspark } = t.context;
  const { sessionId } = await pyspark.connect('evicted', await gateway.url());
  await pyspark.sql('evicted', 'SELECT 1');
  const { uid } = await gateway.driverOf(sessionId);
  const pid = gateway.driverPid(uid);
  const evicted = await gateway.command('evict', uid, '--wait');
  t.is(evicted.output, `Driver ${uid} has ended.\n`, evicted.errors);
  t.throws(() => process.kill(pid, 0), { message: /ESRCH/ });
  const error = await t.throwsAsync<PySparkError>(pyspark.sql('evicted', 'SELECT 1'));
  t.regex(error?.message ?? '', /SESSION_CHANGED.*taken out of service/s);
  const gone = await gateway.command('drivers', uid, '-o', 'json');
  t.like(JSON.parse(gone.output) as DriverView, { phase: 'gone' });
});
