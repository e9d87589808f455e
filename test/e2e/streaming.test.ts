/** Streaming queries from their start to a restart from their checkpoint. */
import { mkdtempSync, readdirSync, readFileSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import anyTest, { type TestFn } from 'ava';
import { Gateway } from '../support/gateway.js';
import { PySpark } from '../support/pyspark.js';
import { teamPolicy } from '../support/team-policy.js';

interface Context {
  readonly gateway: Gateway;
  readonly pyspark: PySpark;
  folder: string;
}

const test = anyTest as TestFn<Context>;

test.before(async (t) => {
  const [gateway, pyspark] = await Promise.all([
    Gateway.start({
      policy: teamPolicy({ maximum: 1 }),
      settings: { session_ttl: '10s', drivers: { local: { cores: 2 } } },
    }),
    PySpark.start('4'),
  ]);
  Object.assign(t.context, { gateway, pyspark });
});

test.beforeEach((t) => {
  t.context.folder = mkdtempSync(join(tmpdir(), 'streaming-'));
});

test.afterEach.always((t) => rmSync(t.context.folder, { recursive: true, force: true }));

test.after.always(async (t) => {
  await t.context.pyspark?.kill();
  t.is(await t.context.gateway?.stop(), 0);
});

/** Numbers of the batches that Python has written in the driver, in order. */
function batchesIn(folder: string): number[] {
  return readdirSync(join(folder, 'batches'))
    .flatMap((name) => /^(\d+)\.json$/.exec(name)?.[1] ?? [])
    .map(Number)
    .toSorted((a, b) => a - b);
}

function batch(folder: string, number: number): { rows: number; token: string | null } {
  const text = readFileSync(join(folder, 'batches', `${number}.json`), 'utf8');
  return JSON.parse(text) as { rows: number; token: string | null };
}

function writtenMs(folder: string, number: number): number {
  return statSync(join(folder, 'batches', `${number}.json`)).mtimeMs;
}

/** Again where Spark gives up on its Python worker: it waits for no more than 10 s, which a busy machine takes. */
async function startForeachBatch({ gateway, pyspark, folder }: Context, session: string) {
  await gateway.until(
    () => pyspark.startStream(session, 'batches', folder, 'foreachBatch'),
    () => true,
  );
}

test.serial(
  'foreachBatch runs in the driver, goes on while its client says nothing, restarts from its checkpoint, and leaves its session idle when it has ended',
  async (t) => {
    const { gateway, pyspark, folder } = t.context;
    const { sessionId } = await pyspark.connect('first', await gateway.url());
    await startForeachBatch(t.context, 'first');
    // Without an RPC for two and a half times the session's TTL.
    const seen = await gateway.until(
      () => Promise.resolve(batchesIn(folder)),
      ([first, ...others]) =>
        others.some((last) => writtenMs(folder, last) - writtenMs(folder, first ?? 0) > 25_000),
    );
    t.deepEqual(
      seen,
      seen.map((_, index) => index),
    );
    t.true(seen.some((number) => batch(folder, number).rows > 0));
    t.is(batch(folder, 1).token, null, 'the driver’s token is not in the environment of Python');
    t.true((await gateway.sessions()).some(({ id }) => id === sessionId));

    t.is(await pyspark.streamException('batches'), null);
    t.deepEqual(await pyspark.activeStreams('first'), ['batches']);
    t.false(await pyspark.awaitTermination('batches', 1));
    await pyspark.stopStream('batches');
    t.true(await pyspark.awaitTermination('batches', 60));
    const last = batchesIn(folder).at(-1) ?? Number.NaN;
    await pyspark.stop('first');

    const { sessionId: second } = await pyspark.connect('second', await gateway.url());
    await startForeachBatch(t.context, 'second');
    await gateway.until(
      () => Promise.resolve(batchesIn(folder)),
      (batches) => (batches.at(-1) ?? 0) > last + 2,
    );
    await pyspark.stopStream('batches');
    // Each row once, over the restart.
    const rows = await pyspark.sql(
      'second',
      `SELECT count(*), count(DISTINCT value) FROM parquet.\`${folder}/out\``,
    );
    t.is(rows.rows[0]?.[0], rows.rows[0]?.[1]);
    // Its query has ended, so it is idle now.
    await gateway.until(
      () => gateway.sessions(),
      (sessions) => sessions.every(({ id }) => id !== second),
    );
  },
);

test.serial('rows go to parquet, and a listener hears of it', async (t) => {
  const { gateway, pyspark, folder } = t.context;
  await pyspark.connect('rows', await gateway.url());
  const notes = join(folder, 'notes');
  await pyspark.listen('rows', notes);
  await pyspark.startStream('rows', 'rows', folder, 'parquet');
  await gateway.until(
    () => pyspark.lastProgress('rows'),
    (progress) => (progress?.batch ?? 0) > 3,
  );
  await pyspark.stopStream('rows');
  await gateway.until(
    () => Promise.resolve(readdirSync(notes)),
    (events) => events.length === 3,
  );
  const { rows } = await pyspark.sql(
    'rows',
    `SELECT count(*) > 10, count(*) - count(DISTINCT value) FROM parquet.\`${folder}/out\``,
  );
  t.deepEqual(rows, [[true, 0]]);
  await pyspark.stop('rows');
});
