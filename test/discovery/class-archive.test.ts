import { chmod, mkdir, readdir, writeFile } from 'node:fs/promises';
import { basename, join } from 'node:path';
import test, { type ExecutionContext } from 'ava';
import { pino } from 'pino';
import {
  classArchivePath,
  makeClassArchive,
  type MakeClassArchiveOptions,
} from '../../src/discovery/local/class-archive.js';
import type { SparkCommandOptions } from '../../src/discovery/local/spark-command.js';
import { http2Probe } from '../../src/discovery/port-monitor.js';
import { systemClock } from '../../src/model/clock.js';
import { temporaryFolder } from '../support/local-world.js';
import { unusedRange } from '../support/loopback.js';

/** A Spark that is nothing but its folders, and a Java that is a script. */
async function standIn(t: ExecutionContext, script: string): Promise<SparkCommandOptions> {
  const folder = await temporaryFolder(t);
  await mkdir(join(folder, 'jars'));
  await mkdir(join(folder, 'bin'));
  await writeFile(join(folder, 'jars', 'spark-connect_2.13-4.3.0.jar'), '');
  await writeFile(join(folder, 'bin', 'java'), `#!/bin/sh\n${script}\n`);
  await chmod(join(folder, 'bin', 'java'), 0o755);
  return { sparkHome: folder, javaHome: folder, fence: false };
}

async function make(
  t: ExecutionContext,
  spark: SparkCommandOptions,
  options: Partial<MakeClassArchiveOptions> = {},
) {
  const { folder = await temporaryFolder(t), ...more } = options;
  const made = await makeClassArchive({
    spark,
    folder,
    addressRange: await unusedRange(),
    clock: systemClock,
    log: pino({ enabled: false }),
    ...more,
  });
  return { made, left: await readdir(folder) };
}

/** A Java that comes up, and writes what it is asked for at its end if it can. */
function listening(canArchive: boolean): string {
  const program = `
    const option = (name) => process.argv.find((a) => a.startsWith(name))?.slice(name.length);
    const port = Number(option('-Dspark.connect.grpc.binding.port='));
    const address = option('-Dspark.connect.grpc.binding.address=');
    process.on('SIGTERM', () => {
      if (${canArchive}) require('node:fs').writeFileSync(option('-XX:ArchiveClassesAtExit='), '');
      process.exit(0);
    });
    require('node:http2').createServer().listen(port, address);`;
  return `exec '${process.execPath}' -e "$(cat <<'EOF'\n${program}\nEOF\n)" -- "$@"`;
}

test('an archive is made by a driver that comes up and ends, and is made once', async (t) => {
  const spark = await standIn(t, listening(true));
  const folder = await temporaryFolder(t);
  t.true((await make(t, spark, { folder })).made);
  const { made, left } = await make(t, spark, { folder, signal: AbortSignal.abort() });
  t.true(made, 'without another attempt');
  t.deepEqual(left, [basename(classArchivePath(folder, spark))]);
});

test('the driver is used while it answers, before the archive is written', async (t) => {
  const spark = await standIn(t, listening(true));
  const folder = await temporaryFolder(t);
  const { made } = await make(t, spark, {
    folder,
    async use({ address, port }) {
      t.is(await http2Probe(address, port, 10_000), undefined);
      t.deepEqual(await readdir(folder), ['making']);
    },
  });
  t.true(made);
});

test('a Java that can make no archive is not asked again', async (t) => {
  const spark = await standIn(t, listening(false));
  const folder = await temporaryFolder(t);
  t.false((await make(t, spark, { folder })).made);
  const { left } = await make(t, spark, { folder });
  t.deepEqual(left, [`${basename(classArchivePath(folder, spark))}.unavailable`]);
});

test('a Java that does not start is no error, and nothing is left of the attempt', async (t) => {
  t.deepEqual(await make(t, await standIn(t, 'exit 1')), { made: false, left: [] });
});

test('making an archive can be given up, and nothing is left of the attempt', async (t) => {
  const spark = await standIn(t, 'exec sleep 600');
  t.deepEqual(await make(t, spark, { signal: AbortSignal.abort() }), { made: false, left: [] });
});

test('an archive belongs to one Spark and one Java', async (t) => {
  const spark = await standIn(t, 'exit 1');
  const path = classArchivePath('/cache', spark);
  t.is(classArchivePath('/cache', { ...spark }), path);
  await writeFile(join(spark.sparkHome, 'jars', 'another.jar'), '');
  t.not(classArchivePath('/cache', spark), path);
  const other = await standIn(t, 'exit 2');
  t.not(
    classArchivePath('/cache', { ...spark, javaHome: other.javaHome ?? '' }),
    classArchivePath('/cache', spark),
  );
});
