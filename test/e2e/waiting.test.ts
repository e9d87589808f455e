import anyTest, { type TestFn } from 'ava';
import { randomUUID } from 'node:crypto';
import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Gateway } from '../support/gateway.js';
import { runPython } from '../support/python-script.js';
import { PySpark } from '../support/pyspark.js';
import { PySparkError } from '../support/pyspark-error.js';
import { routingPolicy } from '../support/routing-policy.js';

const test = anyTest as TestFn<{ gateway: Gateway; bob: PySpark; folder: string }>;

/** One driver, for one session: whoever comes while bob has it waits. */
test.before(async (t) => {
  t.context.folder = mkdtempSync(join(tmpdir(), 'waiting-'));
  t.context.gateway = await Gateway.start({
    policy: routingPolicy({ pools: [{ size: 1, maximum: 1 }] }),
  });
  const { gateway } = t.context;
  t.context.bob = await PySpark.start('4');
  await t.context.bob.connect('bob', await gateway.url({ user: 'bob' }));
  await t.context.bob.sql('bob', 'SELECT 1');
});

test.after.always(async (t) => {
  await t.context.bob?.kill();
  t.is(await t.context.gateway?.stop(), 0);
  rmSync(t.context.folder, { recursive: true, force: true });
});

/** Until as many sessions wait for a driver as are to. */
async function waiting(gateway: Gateway, sessions: number): Promise<void> {
  await gateway.until(
    () => gateway.pools(),
    (pools) => pools.reduce((sum, pool) => sum + (pool.waiting ?? 0), 0) === sessions,
  );
}

// 4.2 and later first ask how they may compress a plan, 4.0 writes at once.
for (const version of ['4.0', '4'] as const) {
  test.serial(
    `Ctrl-C while a write of PySpark ${version} waits: KeyboardInterrupt, and nothing runs after it`,
    async (t) => {
      const { gateway, bob, folder } = t.context;
      const parquet = join(folder, version);
      const script = runPython(version, 'ctrl_c_waiting.py', [await gateway.url(), parquet]);
      await Promise.race([waiting(gateway, 1), script.ended]);
      script.interrupt();
      const { exitCode, output, errors } = await script.ended;
      t.is(exitCode, 0, errors);
      const [sessionId = '', told] = output.trim().split('\n');
      t.is(told, 'interrupted');
      // bob still has the driver: the end of the script has waited for none.
      await waiting(gateway, 0);
      if (version === '4.0') {
        const audit = await gateway.until(
          () => gateway.audit(sessionId),
          (lines) =>
            lines.some(({ reason }) => reason === 'OPERATION_CANCELED') &&
            lines.some(({ method }) => method === 'Interrupt'),
        );
        t.like(
          audit.find(({ method }) => method === 'Interrupt'),
          { decision: 'allowed', grpcStatus: 0, principal: 'alice@example.com' },
        );
      }
      await bob.stop('bob');
      await gateway.until(
        () => gateway.pools(),
        (pools) => pools.some(({ available }) => available === 1),
      );
      t.deepEqual(await gateway.sessions(), []);
      t.false(existsSync(parquet));
      await bob.connect('bob', await gateway.url({ user: 'bob' }));
      await bob.sql('bob', 'SELECT 1');
    },
  );
}

test.serial('what Spark says of a session that has run nothing takes no driver', async (t) => {
  const { gateway, bob } = t.context;
  const metadata = [
    ['authorization', `Bearer ${await gateway.token('alice')}`],
    ['x-doordash-team', 'data'],
    ['x-doordash-environment', 'dev'],
  ] as const;
  const sessionId = randomUUID();
  const ask = async (
    method: string,
    message: Readonly<Record<string, unknown>> = {},
    gzip = false,
  ) => {
    const { responses } = await bob.raw({
      target: `127.0.0.1:${gateway.port}`,
      method,
      sessionId,
      userId: 'alice',
      message,
      metadata,
      ...(gzip ? { compression: 'gzip' as const } : {}),
    }).result;
    return responses;
  };
  t.deepEqual(await ask('Interrupt', { interruptType: 'INTERRUPT_TYPE_ALL' }), [{ sessionId }]);
  t.deepEqual(await ask('FetchErrorDetails', { errorId: randomUUID() }), [{}]);
  t.deepEqual(await ask('ReleaseSession'), [{ sessionId }]);
  const operationId = randomUUID();
  for (const command of [
    { mlCommand: { cleanCache: {} } },
    { mlCommand: { delete: { objRefs: [{ id: 'model' }] } } },
    { removeCachedRemoteRelationCommand: { relation: { relationId: 'frame' } } },
  ]) {
    for (const gzip of [false, true]) {
      const message = { operationId, plan: { command } };
      const [answer, ...more] = await ask('ExecutePlan', message, gzip);
      t.like(answer, { sessionId, operationId, resultComplete: {} });
      t.deepEqual(more, []);
    }
  }
  for (const method of ['ReattachExecute', 'ReleaseExecute', 'GetStatus']) {
    const error = await t.throwsAsync(ask(method), { instanceOf: PySparkError });
    t.regex(error?.message ?? '', /INVALID_HANDLE\.SESSION_NOT_FOUND/, method);
  }
  t.is((await gateway.sessions()).length, 1);
});

test.serial(
  'an interrupt ends the operations it names among those that wait, and no other',
  async (t) => {
    const { gateway, bob } = t.context;
    const metadata = [
      ['authorization', `Bearer ${await gateway.token('alice')}`],
      ['x-doordash-team', 'data'],
      ['x-doordash-environment', 'dev'],
    ] as const;
    const sessionId = randomUUID();
    const target = `127.0.0.1:${gateway.port}`;
    const begin = (operationId: string, tag: string) => {
      const plan = { root: { sql: { query: 'SELECT 1' } } };
      const message = { operationId, tags: [tag], plan };
      const { result } = bob.raw({
        target,
        method: 'ExecutePlan',
        sessionId,
        userId: 'alice',
        message,
        metadata,
      });
      return t.throwsAsync(result, { instanceOf: PySparkError });
    };
    const interrupt = async (message: Readonly<Record<string, unknown>>) => {
      const { result } = bob.raw({
        target,
        method: 'Interrupt',
        sessionId,
        userId: 'alice',
        message,
        metadata,
      });
      return (await result).responses;
    };
    const ids = [randomUUID(), randomUUID(), randomUUID()] as const;
    const [first, second, third] = ids;
    const ends = [begin(first, 'a'), begin(second, 'b'), begin(third, 'c')];
    await waiting(gateway, 1);
    // They come one after the other: an interrupt that finds nothing is asked again.
    const until = (message: Readonly<Record<string, unknown>>) =>
      gateway.until(
        () => interrupt(message),
        ([answer]) => answer !== undefined && 'interruptedIds' in answer,
      );
    t.deepEqual(await until({ interruptType: 'INTERRUPT_TYPE_OPERATION_ID', operationId: first }), [
      { sessionId, interruptedIds: [first] },
    ]);
    t.regex((await ends[0])?.message ?? '', /OPERATION_CANCELED/);
    t.deepEqual(await until({ interruptType: 'INTERRUPT_TYPE_TAG', operationTag: 'b' }), [
      { sessionId, interruptedIds: [second] },
    ]);
    t.regex((await ends[1])?.message ?? '', /OPERATION_CANCELED/);
    await waiting(gateway, 1);
    t.deepEqual(await until({ interruptType: 'INTERRUPT_TYPE_ALL' }), [
      { sessionId, interruptedIds: [third] },
    ]);
    t.regex((await ends[2])?.message ?? '', /OPERATION_CANCELED/);
    await waiting(gateway, 0);
    // What PySpark asks to show the error begins no session again.
    const key = 'spark.sql.connect.serverStacktrace.enabled';
    const { responses } = await bob.raw({
      target,
      method: 'Config',
      sessionId,
      userId: 'alice',
      message: { operation: { getOption: { keys: [key] } } },
      metadata,
    }).result;
    t.deepEqual(responses, [{ sessionId, pairs: [{ key }] }]);
    await waiting(gateway, 0);
  },
);
