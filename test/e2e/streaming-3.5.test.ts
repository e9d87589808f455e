/** foreachBatch of a PySpark 3.5 client, in the Python worker of a Spark 3.5 driver. */
import { mkdtempSync, readdirSync, readFileSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test from 'ava';
import { Gateway } from '../support/gateway.js';
import { PySpark } from '../support/pyspark.js';
import { RealDriver } from '../support/real-driver.js';
import { StaticDrivers } from '../support/static-drivers.js';
import { teamPolicy } from '../support/team-policy.js';
import { unusedAddress } from '../support/loopback.js';

const SESSION_TTL_MS = 10_000;

test('foreachBatch of Spark 3.5 runs in its fenced driver, also while its client says nothing', async (t) => {
  const address = await unusedAddress();
  const driver = await RealDriver.start(address, 'secret', 2, '3.5');
  const file = new StaticDrivers();
  file.set({ name: 'old', address, token: 'secret' });
  const [gateway, pyspark] = await Promise.all([
    Gateway.start({
      policy: teamPolicy({ size: 0 }),
      settings: {
        session_ttl: `${SESSION_TTL_MS}ms`,
        drivers: { source: 'static', static_file: file.file },
      },
    }),
    PySpark.start('3.5'),
  ]);
  const folder = mkdtempSync(join(tmpdir(), 'streaming-'));
  t.teardown(async () => {
    await pyspark.kill();
    await gateway.stop();
    await driver.kill();
    file.remove();
    rmSync(folder, { recursive: true, force: true });
  });
  const { sessionId } = await pyspark.connect('first', await gateway.url35());
  // Again where Spark gives up on its Python worker: it waits for no more than 10 s.
  await gateway.until(
    () => pyspark.startStream('first', 'batches', folder, 'foreachBatch'),
    () => true,
  );
  const written = () =>
    readdirSync(join(folder, 'batches'))
      .filter((name) => name.endsWith('.json'))
      .map((name) => join(folder, 'batches', name));
  const files = await gateway.until(
    () => Promise.resolve(written()),
    (paths) => {
      const times = paths.map((path) => statSync(path).mtimeMs);
      return Math.max(...times) - Math.min(...times) > 2.5 * SESSION_TTL_MS;
    },
  );
  const seen = files.map(
    (path) => JSON.parse(readFileSync(path, 'utf8')) as { rows: number; token: string | null },
  );
  t.true(seen.some(({ rows }) => rows > 0));
  t.true(
    seen.every(({ token }) => token === null),
    'the driver’s token is not in the environment of Python',
  );
  t.true((await gateway.sessions()).some(({ id }) => id === sessionId));
  await pyspark.stopStream('batches');
  t.true(await pyspark.awaitTermination('batches', 60));
  const { rows } = await pyspark.sql(
    'first',
    `SELECT count(*) > 0, count(*) - count(DISTINCT value) FROM parquet.\`${folder}/out\``,
  );
  t.deepEqual(rows, [[true, 0]]);
});
