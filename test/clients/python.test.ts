import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import anyTest, { type TestFn } from 'ava';
import { Program } from '../support/program.js';
import { ClientsWorld, endsWell, examples, python, pythonTests, read } from './fixture.js';

interface Context {
  readonly world: ClientsWorld;
  /** A query of more than two minutes, with tokens of 20 s. */
  readonly longQuery: Program;
}

const test = anyTest as TestFn<Context>;

test.before(async (t) => {
  const world = await ClientsWorld.start();
  const env = await world.env({ ISSUER: world.gateway.issuer, SPARK_CONNECT_TOKEN: '' }, 'bob');
  const longQuery = new Program(python, [join(pythonTests, 'long_query.py')], { env });
  Object.assign(t.context, { world, longQuery });
});

test.after.always(async (t) => {
  t.context.longQuery?.signal('SIGKILL');
  t.is(await t.context.world?.stop(), 0);
});

test.serial('a program connects through TLS of a private authority', async (t) => {
  const { world } = t.context;
  await t.context.longQuery.says('The query runs.');
  const { exitCode, output } = await world.run(python, [join(examples, 'direct/report.py')]);
  t.is(exitCode, 0, output);
  t.regex(output, /^Connected to Spark \d.* \(team data, dev/m);
  t.regex(output, /^6 142$/m);
});

test.serial('what does not fit is said in a line, with what to do', async (t) => {
  const { world } = t.context;
  const program = join(pythonTests, 'refusals.py');
  const { exitCode, output } = await world.run(python, [program]);
  t.is(exitCode, 0, output);
  const lines = Object.fromEntries(
    output
      .split('\n')
      .filter((line) => line.startsWith('> '))
      .map((line) => [line.slice(2, line.indexOf(': ')), line.slice(line.indexOf(': ') + 2)]),
  );
  t.regex(lines['no authority'] ?? '', /NotConnected .*ca_file=/);
  t.regex(lines['no TLS'] ?? '', /NotConnected .*tls=True/);
  t.regex(lines['other team'] ?? '', /GatewayRefused .*\[NAMESPACE_REFUSED\]/);
  t.regex(lines['no token'] ?? '', /GatewayRefused .*\[TOKEN_MALFORMED\]/);
  t.is(lines['use_ssl as a header'], 'connected');
  t.false(output.includes('Traceback'));
});

test.serial('a lost driver: the next get_spark works and says what was lost', async (t) => {
  const { world } = t.context;
  const env = await world.env({ SPARK_CONNECT_ENV: 'staging' }, 'carol');
  const program = new Program(python, [join(pythonTests, 'lost_driver.py')], { env });
  t.teardown(() => program.signal('SIGKILL'));
  await program.says('session ');
  const [driver] = (await world.gateway.drivers()).filter(
    ({ namespace, phase }) => namespace === 'sjns-data-staging' && phase !== 'gone',
  );
  process.kill(world.gateway.driverPid(driver?.uid ?? ''), 'SIGKILL');
  const output = await endsWell(program);
  t.regex(output, /A Spark driver is starting in sjns-data-staging/);
  t.regex(output, /^Your former session has ended because its Spark driver .*: temporary views/m);
  t.is(output.match(/^Connected to Spark/gm)?.length, 2);
  t.regex(output, /^the view is gone$/m);
  await world.gateway.until(
    () => world.gateway.sessions(),
    (sessions) => sessions.every(({ principal }) => principal.subject !== 'carol@example.com'),
  );
});

test.serial('a notebook is executed, and shows refusals without a traceback', async (t) => {
  const { world } = t.context;
  const args = [join(pythonTests, 'run_notebook.py'), join(examples, 'notebook/explore.ipynb')];
  const { exitCode, output } = await world.run(python, args);
  t.is(exitCode, 0, output);
  t.regex(output, /^Connected to Spark .* \(team data, dev\)$/m);
  t.regex(output, /<td>default<\/td>/);
  t.regex(output, /^error GatewayRefused: .*\[NAMESPACE_REFUSED\]$/m);
  t.false(output.includes('Traceback'));
});

test.serial(
  'pytest -n 2: a session for each worker, a schema of its own, nothing left',
  async (t) => {
    const { world } = t.context;
    const { exitCode, output } = await world.run(
      python,
      ['-m', 'pytest', '-p', 'no:cacheprovider', '-n', '2', join(examples, 'ci/tests')],
      { cwd: world.folder({}) },
    );
    t.is(exitCode, 0, output);
    t.regex(output, /2 passed/);
    await onlyTheLongQuery(world);
    t.deepEqual(await schemas(world), ['default']);
  },
);

const STOPPED = `
import os, signal, time
def test_one(spark):
    spark.sql("CREATE TABLE t USING parquet AS SELECT 1 AS a")
def test_two(spark):
    assert spark.range(1).count() == 1
def test_ends(spark):
    END
def test_three(spark):
    pass
`;

for (const { title, end, workers } of [
  { title: 'a failure with -x', end: 'assert False', workers: ['-n', '2'] },
  { title: 'a failure with -x in one process', end: 'assert False', workers: [] },
  {
    title: 'a worker that is killed',
    end: 'os.kill(os.getpid(), signal.SIGKILL)',
    workers: ['-n', '2', '--max-worker-restart=0'],
  },
  { title: 'Ctrl-C', end: 'print("here", flush=True); time.sleep(600)', workers: [] },
  {
    title: 'Ctrl-C with workers',
    end: 'open("here", "w").close(); time.sleep(600)',
    workers: ['-n', '2'],
  },
]) {
  test.serial(`pytest gives everything back after ${title}`, async (t) => {
    const { world } = t.context;
    const folder = world.folder({ 'test_it.py': STOPPED.replace('END', end) });
    const args = ['-m', 'pytest', '-p', 'no:cacheprovider', '-s', '-x', ...workers, folder];
    const pytest = new Program(python, args, { cwd: folder, env: await world.env() });
    t.teardown(() => pytest.signal('SIGKILL'));
    if (title.startsWith('Ctrl-C')) {
      await (workers.length === 0
        ? pytest.says('here')
        : world.gateway.until(
            async () => read(folder, 'here'),
            () => true,
          ));
      pytest.signal('SIGINT');
    }
    const { exitCode, output } = await pytest.ended;
    t.not(exitCode, 0, output);
    t.regex(
      output,
      title.startsWith('Ctrl-C') ? /KeyboardInterrupt/ : /1 failed|worker .* crashed/,
    );
    await onlyTheLongQuery(world);
    t.deepEqual(await schemas(world), ['default']);
  });
}

test.serial('a Metaflow step has a session, and artifacts without it', async (t) => {
  const { world } = t.context;
  const folder = world.folder({});
  mkdirSync(join(folder, 'store'));
  const env = await world.env({
    METAFLOW_DATASTORE_SYSROOT_LOCAL: join(folder, 'store'),
    METAFLOW_DEFAULT_DATASTORE: 'local',
    METAFLOW_DEFAULT_METADATA: 'local',
    METAFLOW_USER: 'alice',
  });
  const flow = (file: string, ...args: readonly string[]) =>
    world.run(python, [file, '--no-pylint', 'run', ...args], { cwd: folder, env });
  const good = await flow(join(examples, 'metaflow/report_flow.py'), '--limit', '70');
  t.is(good.exitCode, 0, good.output);
  t.regex(good.output, /70 clicks on 7 days/);

  const failing = join(pythonTests, 'failing_flow.py');
  const bad = await flow(failing, '--how', 'raise');
  t.not(bad.exitCode, 0);
  t.regex(bad.output, /ValueError: the step's own error/);
  const kept = await flow(failing, '--how', 'keep a frame');
  t.not(kept.exitCode, 0);
  t.regex(kept.output, /self\.frame is a Spark DataFrame, which Metaflow cannot store/);
  await onlyTheLongQuery(world);
});

test.serial('doctor connects and says how', async (t) => {
  const { world } = t.context;
  const { exitCode, output } = await world.run(python, ['-m', 'spark_connect_helper', 'doctor']);
  t.is(exitCode, 0, output);
  t.regex(output, /✓ SPARK_CONNECT_TOKEN/);
  t.regex(output, /Connected to Spark/);
  t.regex((await world.run(python, ['-m', 'spark_connect_helper', 'whoami'])).output, /^alice/);
});

test.serial('a login is kept in a file where the keyring has no backend', async (t) => {
  const program =
    'import os; from spark_connect_helper.tokens.store import LoginStore\n' +
    'LoginStore(os.environ).put("k", {"token": "T"})\n' +
    'store = LoginStore(os.environ); print(store.get("k"), store.where)';
  const { exitCode, output } = await t.context.world.run(python, ['-c', program]);
  t.is(exitCode, 0, output);
  t.regex(output, /^\{'token': 'T'\} .*logins\.json$/m);
});

test.serial('tokens of 20 s are enough for a query of more than two minutes', async (t) => {
  const { world, longQuery } = t.context;
  const output = await endsWell(longQuery);
  const { session, tokens } = JSON.parse(output.trim().split('\n').at(-1) ?? '{}') as {
    session: string;
    tokens: number;
  };
  t.true(tokens >= 2, output);
  const audit = await world.gateway.audit(session);
  t.true(audit.some(({ method }) => method === 'ReattachExecute'));
  t.true(audit.every(({ decision }) => decision !== 'refused'));
  await world.noSessions();
});

/** bob's; every other session must be gone. */
async function onlyTheLongQuery(world: ClientsWorld): Promise<void> {
  await world.gateway.until(
    () => world.gateway.sessions(),
    (sessions) => sessions.every(({ principal }) => principal.subject === 'bob@example.com'),
  );
}

async function schemas(world: ClientsWorld): Promise<readonly string[]> {
  const program =
    'from spark_connect_helper import get_spark, show_databases\n' +
    'spark = get_spark(quiet=True)\n' +
    'print("SCHEMAS", *show_databases(spark).column("namespace"))\n' +
    'spark.stop()';
  const { output } = await world.run(python, ['-c', program]);
  return (/^SCHEMAS (.*)$/m.exec(output)?.[1] ?? output).split(' ');
}
