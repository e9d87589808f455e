import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import test, { type ExecutionContext } from 'ava';
import { pino } from 'pino';
import { Registry } from 'prom-client';
import { consoleParts, startAdminServer } from '../../src/processes/admin.js';
import { outputDeletion } from '../../src/processes/batch-output.js';
import { mostSessionsByVariant } from '../../src/processes/own-drivers.js';
import { Closing } from '../../src/processes/process.js';
import { compileSettings } from '../../src/settings/compile-settings.js';
import { temporaryFolder } from '../support/local-world.js';
import { Signal } from '../support/signal.js';

// Parts that start and stop.

test('parts are closed in reverse, each when the one before has closed', async (t) => {
  const closing = new Closing();
  const closed: string[] = [];
  const last = new Signal<void>();
  closing.add(() => closed.push('opened first'));
  closing.add(async () => {
    await last.next();
    closed.push('opened last');
  });
  const done = closing.close();
  t.deepEqual(closed, []);
  last.emit();
  await done;
  t.deepEqual(closed, ['opened last', 'opened first']);
});

test('a part that fails to close keeps no other open, and is told of', async (t) => {
  const closing = new Closing();
  const closed: string[] = [];
  closing.add(() => closed.push('first'));
  closing.add(() => {
    throw new Error('stuck');
  });
  closing.add(() => Promise.reject(new Error('lost')));
  const error = await t.throwsAsync(closing.close(), { instanceOf: AggregateError });
  t.deepEqual(
    error?.errors.map(({ message }: Error) => message),
    ['lost', 'stuck'],
  );
  t.deepEqual(closed, ['first']);
});

test('what opens while or after all is closed is closed, too', async (t) => {
  const closing = new Closing();
  const closed: string[] = [];
  closing.add(() => closing.add(() => closed.push('while')));
  await closing.close();
  closing.add(() => closed.push('after'));
  t.deepEqual(closed, ['while', 'after']);
});

// The admin server.

test('a handler that fails is one bad answer, not the end of the process', async (t) => {
  const server = await startAdminServer({
    address: { host: '127.0.0.1', port: 0 },
    logger: pino({ enabled: false }),
    registry: new Registry(),
    readiness: () => undefined,
    routes: {
      'GET /broken': () => {
        throw new Error('broken');
      },
    },
  });
  t.teardown(() => server.close());
  const ask = (path: string) => fetch(`http://127.0.0.1:${server.port}${path}`);
  t.is((await ask('/broken')).status, 500);
  t.is((await ask('/healthz')).status, 200);
});

test('what is reached by https says that it always is; what is not says nothing', async (t) => {
  for (const httpsOnly of [true, false]) {
    const server = await startAdminServer({
      address: { host: '127.0.0.1', port: 0 },
      logger: pino({ enabled: false }),
      registry: new Registry(),
      readiness: () => undefined,
      httpsOnly,
    });
    t.teardown(() => server.close());
    const { headers } = await fetch(`http://127.0.0.1:${server.port}/healthz`);
    t.is(headers.get('strict-transport-security'), httpsOnly ? 'max-age=31536000' : null);
  }
});

test('the command line logs in as its own client, or as the console where that has no secret', async (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'console-'));
  t.teardown(() => rmSync(folder, { recursive: true }));
  writeFileSync(join(folder, 'secret'), 'of the console');
  const login = async (written: Readonly<Record<string, string>>) => {
    const overrides = Object.entries({ 'console.issuer': 'https://login.example.com', ...written });
    const settings = compileSettings({ env: {}, overrides, cwd: folder });
    return (await consoleParts(settings, async () => Buffer.alloc(32)))?.login;
  };
  const scope = 'openid offline_access';
  const issuer = 'https://login.example.com';
  const ofConsole = { 'console.client_id': 'console' };
  t.deepEqual(await login(ofConsole), { issuer, clientId: 'console', scope });
  const secret = { ...ofConsole, 'console.client_secret_file': 'secret' };
  t.is(await login(secret), undefined, 'who has no secret cannot be this client');
  t.like(await login({ ...secret, 'console.login_client_id': 'cli' }), { clientId: 'cli' });
  const asked = { ...ofConsole, 'console.login_scope': 'openid groups' };
  t.like(await login(asked), { scope: 'openid groups' });
});

// Drivers of its own.

/** A folder with the jars of a Spark, as far as they are looked at. */
function sparkHome(folder: string, version: string): string {
  const home = join(folder, `spark-${version}`);
  mkdirSync(join(home, 'jars'), { recursive: true });
  writeFileSync(join(home, 'jars', `spark-connect_2.13-${version}.jar`), '');
  return home;
}

function settingsWith(sessionTtl: string, variants = '{}') {
  const overrides = Object.entries({
    session_ttl: sessionTtl,
    'sessions.tombstone_ttl': '1d',
    'drivers.local.variants': variants,
  });
  return compileSettings({ env: {}, overrides, cwd: '/' });
}

test('a local Spark that forgets sessions before the gateway does is refused, a variant too', async (t) => {
  const folder = await temporaryFolder(t);
  const [old, current] = [sparkHome(folder, '3.5.7'), sparkHome(folder, '4.1.0')];
  t.throws(() => mostSessionsByVariant(old, settingsWith('1h')), {
    code: 'SETTINGS_INVALID',
    message: /^drivers\.local\.spark_home: Spark 3\.5 forgets a session .* session_ttl/,
  });
  const variants = `{old: "spark_home=${old}"}`;
  t.throws(() => mostSessionsByVariant(current, settingsWith('8h', variants)), {
    code: 'SETTINGS_INVALID',
    message: /^drivers\.local\.variants old: Spark 3\.5 forgets/,
  });
  t.notThrows(() => mostSessionsByVariant(current, settingsWith('8h')));
  const most = mostSessionsByVariant(current, settingsWith('59m', variants));
  t.deepEqual([most(undefined), most('old'), most('unknown')], [undefined, 100, undefined]);
});

// Where results go.

async function world(t: ExecutionContext, more = '') {
  const stateDir = await temporaryFolder(t);
  const settings = compileSettings({
    file: { name: 'settings.yaml', text: `state_dir: ${stateDir}\n${more}` },
    env: {},
    overrides: [],
    cwd: '/',
  });
  const put = (name: string) => {
    const folder = join(stateDir, name);
    mkdirSync(folder, { recursive: true });
    writeFileSync(join(folder, '_status.json'), '{}');
    return folder;
  };
  return { settings, put };
}

test('on one machine the results of a job are deleted, and nothing but them', async (t) => {
  const { settings, put } = await world(t, 'drivers: { source: local }');
  const [own, other] = [put('batch/output/sjns-a/job-a'), put('batch/output/sjns-a/job-b')];
  const outside = put('batch/records');
  const deleteOutput = outputDeletion(settings);
  await deleteOutput?.(pathToFileURL(own).href);
  t.false(existsSync(own));
  await deleteOutput?.(pathToFileURL(outside).href);
  await deleteOutput?.('s3://results/sjns-a/job-b');
  await t.throwsAsync(async () => deleteOutput?.(`${pathToFileURL(other).href}/../../../records`));
  t.true(existsSync(other) && existsSync(outside));
});

for (const [where, more] of [
  [
    'in a folder that an operator named',
    'drivers: { source: local }\nbatch: { output_url: "file:///data/jobs/" }',
  ],
  [
    'of jobs in clusters',
    'drivers: { source: kubernetes }\nbatch: { output_url: "s3://results/" }',
  ],
] as const) {
  test(`results ${where} are not the gateway’s to delete`, async (t) => {
    const { settings } = await world(t, more);
    t.is(outputDeletion(settings), undefined);
  });
}

// Its terminal.

test('a process goes on when its terminal has gone', async (t) => {
  const say = new URL('../../src/processes/start.js', import.meta.url).href;
  const program = `
    import { say } from ${JSON.stringify(say)};
    process.stdin.resume().on('end', () => {
      say('nobody reads this');
      setImmediate(() => process.exit(7));
    });`;
  const child = spawn(process.execPath, ['--input-type=module', '--eval', program], {
    stdio: ['pipe', 'pipe', 'inherit'],
  });
  child.stdout.destroy();
  child.stdin.end();
  t.deepEqual(await once(child, 'exit'), [7, null]);
});
