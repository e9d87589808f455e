import anyTest, { type TestFn } from 'ava';
import { Gateway } from '../support/gateway.js';
import { PySpark } from '../support/pyspark.js';
import { PySparkError } from '../support/pyspark-error.js';
import { RowGate } from '../support/row-gate.js';
import { teamPolicy } from '../support/team-policy.js';

interface Context {
  readonly gateway: Gateway;
  readonly four: PySpark;
  readonly fourZero: PySpark;
  readonly three: PySpark;
  readonly lost: {
    readonly driver: string;
    readonly alice: string;
    readonly bob: string;
    readonly carol: string;
  };
}

const test = anyTest as TestFn<Context>;

/** Everybody is on one driver, which is killed under a running query of stock PySpark and one of the helper's. */
test.before(async (t) => {
  const [gateway, four, fourZero, three] = await Promise.all([
    Gateway.start({
      policy: teamPolicy({ maximum: 1 }),
      settings: { drivers: { local: { cores: '4' } } },
    }),
    PySpark.start('4'),
    PySpark.start('4.0'),
    PySpark.start('3.5'),
  ]);
  Object.assign(t.context, { gateway, four, fourZero, three });
  const url = await gateway.url({ user: 'alice' });
  const alice = await four.connect('alice', url, { how: 'getOrCreate' });
  await four.connect('idle', url);
  await four.connect('helped', url, { how: 'helper' });
  const bob = await three.connect('bob', await gateway.url35({ user: 'bob' }), {
    how: 'getOrCreate',
  });
  const carol = await fourZero.connect('carol', await gateway.url({ user: 'carol' }), {
    how: 'getOrCreate',
  });
  await fourZero.createTempView('carol', 'mine', 'SELECT 42');
  for (const session of ['alice', 'idle']) await four.createTempView(session, 'mine', 'SELECT 42');
  await three.createTempView('bob', 'mine', 'SELECT 42');
  const driver = (await gateway.driverOf(alice.sessionId)).uid;
  Object.assign(t.context, {
    lost: {
      driver,
      alice: alice.sessionId,
      bob: bob.sessionId,
      carol: carol.sessionId,
    },
  });
});

test.after.always(async (t) => {
  await t.context.four?.kill();
  await t.context.fourZero?.kill();
  await t.context.three?.kill();
  t.is(await t.context.gateway?.stop(), 0);
});

function failed(running: Promise<unknown>): Promise<unknown> {
  return running.then(
    () => undefined,
    (error: unknown) => error,
  );
}

test.serial('a driver is killed under its sessions: what each of them is shown', async (t) => {
  const { gateway, four, fourZero, three, lost } = t.context;
  const gate = new RowGate();
  t.teardown(() => gate.remove());
  const queries = ['alice', 'helped'].map((session) => four.gated(session, gate, 2));
  gate.open(0);
  for (const query of queries) await query.event(({ type }) => type === 'row');

  process.kill(gateway.driverPid(lost.driver), 'SIGKILL');
  const [cut, ended, later, older, other] = await Promise.all(
    [
      ...queries.map(({ result }) => result),
      four.sql('idle', 'SELECT * FROM mine'),
      fourZero.sql('carol', 'SELECT * FROM mine'),
      three.sql('bob', 'SELECT * FROM mine'),
    ].map(failed),
  );

  // Stock PySpark does not ask again for a stream that breaks; its next call hears the reason.
  if (!(cut instanceof PySparkError)) return t.fail();
  t.is(cut.code, 'INTERNAL');
  t.regex(cut.message, /RST_STREAM/);
  for (const error of [ended, later, await failed(four.sql('alice', 'SELECT * FROM mine'))]) {
    if (!(error instanceof PySparkError)) return t.fail();
    t.is(error.condition, 'INVALID_HANDLE.SESSION_CHANGED');
    t.regex(error.message, /ended because its Spark driver is gone/);
  }
  if (!(older instanceof PySparkError)) return t.fail();
  t.is(older.errorInfo['errorClass'], 'INVALID_HANDLE.SESSION_CHANGED');
  if (!(other instanceof PySparkError)) return t.fail();
  t.is(other.errorInfo['errorClass'], 'INVALID_HANDLE.SESSION_CHANGED');
  t.regex(other.message, /a PySpark 3\.5 client calls spark\.stop\(\) first/);
});

test.serial(
  'after a lost driver, stop() returns and getOrCreate() makes a fresh session',
  async (t) => {
    const { gateway, four, lost } = t.context;
    await four.stop('idle');
    const url = await gateway.url({ user: 'alice' });
    const { sessionId } = await four.connect('alice', url, { how: 'getOrCreate' });
    t.not(sessionId, lost.alice);
    t.deepEqual((await four.sql('alice', 'SELECT 1')).rows, [[1]]);
    t.not((await gateway.driverOf(sessionId)).uid, lost.driver);
    const error = await t.throwsAsync(four.sql('alice', 'SELECT * FROM mine'));
    t.regex(error?.message ?? '', /TABLE_OR_VIEW_NOT_FOUND/);
  },
);

test.serial(
  'after a lost driver, getOrCreate() of PySpark 4.0 makes a fresh session',
  async (t) => {
    const { gateway, fourZero, lost } = t.context;
    const url = await gateway.url({ user: 'carol' });
    const { sessionId } = await fourZero.connect('carol', url, { how: 'getOrCreate' });
    t.not(sessionId, lost.carol);
    t.deepEqual((await fourZero.sql('carol', 'SELECT 1')).rows, [[1]]);
  },
);

test.serial('after a lost driver, PySpark 3.5 needs stop() before getOrCreate()', async (t) => {
  const { gateway, three, lost } = t.context;
  const url = await gateway.url35({ user: 'bob' });
  const stale = await three.connect('bob', url, { how: 'getOrCreate' });
  t.is(stale.sessionId, lost.bob);
  await t.throwsAsync(three.sql('bob', 'SELECT 1'), { message: /SESSION_CHANGED/ });

  await three.stop('bob');
  const { sessionId } = await three.connect('bob', url, { how: 'getOrCreate' });
  t.not(sessionId, lost.bob);
  t.deepEqual((await three.sql('bob', 'SELECT 1')).rows, [[1]]);
  t.not((await gateway.driverOf(sessionId)).uid, lost.driver);
});

test.serial('the pool has replaced the driver, and remembers how it ended', async (t) => {
  const { gateway, lost } = t.context;
  const drivers = await gateway.drivers();
  const [gone] = drivers.filter(({ uid }) => uid === lost.driver);
  t.is(gone?.phase, 'gone');
  t.regex(gone?.problem ?? '', /SIGKILL/);
  t.deepEqual(
    drivers.filter(({ uid }) => uid !== lost.driver).map(({ phase }) => phase),
    ['in_use'],
  );
});
