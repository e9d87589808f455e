import { readdirSync, statSync } from 'node:fs';
import { mkdir, writeFile } from 'node:fs/promises';
import { basename, join } from 'node:path';
import test, { type ExecutionContext } from 'ava';
import { array, assert, asyncProperty, constantFrom, string } from 'fast-check';
import type { JobToRun } from '../../../src/batch/backend.js';
import {
  AttemptLogReader,
  AttemptLogWriter,
  type StampedLine,
  stampSource,
} from '../../../src/batch/local/attempt-log.js';
import { sparkSubmit, type SparkSubmitOptions } from '../../../src/batch/local/spark-submit.js';
import { hasEnded, jobToRun, logOf, openLocalBatch, untilJob } from '../../support/local-batch.js';
import { temporaryFolder } from '../../support/local-world.js';
import { tries } from '../../support/tries.js';

// The command of a local job: which Spark, how much of the machine, and what of the environment.

async function sparkOf(folder: string, release: string): Promise<string> {
  const home = join(folder, `spark-${release}`);
  await mkdir(join(home, 'jars'), { recursive: true });
  await mkdir(join(home, 'bin'));
  await writeFile(join(home, 'jars', `spark-core_2.13-${release}.jar`), '');
  await writeFile(join(home, 'bin', 'spark-submit'), '');
  return home;
}

async function commandOf(
  t: ExecutionContext,
  releases: readonly string[],
  job: Partial<JobToRun>,
  options: Partial<SparkSubmitOptions> = {},
) {
  const folder = await temporaryFolder(t);
  const sparkHomes = await Promise.all(releases.map((release) => sparkOf(folder, release)));
  const make = sparkSubmit({ sparkHomes, cores: 4, ...options });
  const command = make({
    job: jobToRun('job-a', 'x', job),
    jobFile: '/jobs/job-a/job.json.gz',
    marker: 'spark.coreetl.attempt=/jobs//job-a/1',
    workFolder: '/jobs/job-a/work',
    reportFile: '/jobs/job-a/report.json',
  });
  const after = (name: string) => command.args[command.args.indexOf(name) + 1];
  return { ...command, after };
}

/** What a manifest asks for. */
function resources(memory: string, cores: number, instances: number): Pick<JobToRun, 'resources'> {
  return {
    resources: {
      driver: { cores: 1, memory },
      executor: { cores, memory: '4g', instances },
    },
  };
}

test('the Spark that the manifest names runs it, else one of its generation, which is said', async (t) => {
  const exact = await commandOf(t, ['4.3.0', '4.1.2', '3.5.8'], { engineVersion: '4.1' });
  t.regex(exact.file, /spark-4\.1\.2\/bin\/spark-submit$/);
  t.deepEqual(exact.notes, []);
  const near = await commandOf(t, ['3.5.8', '4.3.0'], { engineVersion: '4.1' });
  t.regex(near.file, /spark-4\.3\.0/);
  t.regex(near.notes.join(''), /^Spark 4\.3\.0 runs this job: there is no 4\.1/);
  await t.throwsAsync(commandOf(t, ['4.3.0', '4.10.0'], { engineVersion: '3.5' }), {
    code: 'BATCH_REFUSED',
    message: 'There is no Spark 3.5 on this machine (spec.engine.version), only 4.3.0, 4.10.0.',
  });
  const ten = await commandOf(t, ['4.10.0', '4.1.0'], { engineVersion: '4.1' });
  t.regex(ten.file, /spark-4\.1\.0/);
});

test("a job's JVM maps the class archive of its Spark, if there is one", async (t) => {
  const folder = await temporaryFolder(t);
  const classArchive = (home: string) => join(folder, `${basename(home)}.jsa`);
  await writeFile(classArchive('spark-4.1.2'), '');
  const optionsOf = async (engineVersion: string) => {
    const { args } = await commandOf(t, ['4.1.2', '3.5.8'], { engineVersion }, { classArchive });
    return args.find((arg) => arg.startsWith('spark.driver.extraJavaOptions=')) ?? '';
  };
  const option = ` -XX:SharedArchiveFile=${folder}/spark-4.1.2.jsa `;
  t.true((await optionsOf('4.1')).includes(option));
  t.false((await optionsOf('3.5')).includes('SharedArchiveFile'));
});

test('what is no Spark is told when a job wants it', async (t) => {
  const sparkHome = await temporaryFolder(t);
  const error = await t.throwsAsync(commandOf(t, [], {}, { sparkHomes: [sparkHome] }));
  t.like(error, { code: 'SETTINGS_INVALID' });
});

test('a job gets what its manifest asks for, and no more than there may be', async (t) => {
  const large = await commandOf(t, ['4.3.0'], resources('4g', 2, 10), { memory: '2048m' });
  t.is(large.after('--driver-memory'), '2048m');
  t.is(large.after('--master'), 'local[4]');
  const small = await commandOf(t, ['4.3.0'], resources('512m', 1, 1), { memory: '2g' });
  t.is(small.after('--driver-memory'), '512m');
  t.is(small.after('--master'), 'local[1]');
});

test("the gateway's own environment stays its own", async (t) => {
  process.env['SPARK_GATEWAY_SECRET'] = 'secret';
  t.teardown(() => {
    delete process.env['SPARK_GATEWAY_SECRET'];
  });
  const { env, args } = await commandOf(t, ['4.3.0'], {}, { sandboxPaths: ['/data', '/more'] });
  t.false(Object.values(env).includes('secret'));
  t.like(env, {
    SPARK_LOCAL_IP: '127.0.0.1',
    COREETL_TERMINATION_LOG: '/jobs/job-a/report.json',
    COREETL_SANDBOX_PATHS: '/data:/more',
  });
  t.true(args.includes('spark.coreetl.attempt=/jobs//job-a/1'));
  t.true(args.includes('spark.driver.bindAddress=127.0.0.1'));
  t.deepEqual(args.slice(-2), ['--job', '/jobs/job-a/job.json.gz']);
});

// The log of a local attempt: stamps, bounds, turning over, and readers that miss nothing.

async function all(reader: AttemptLogReader): Promise<string[]> {
  const texts: string[] = [];
  for (;;) {
    const lines = await reader.next();
    if (lines.length === 0) return texts;
    texts.push(...lines.map(({ text }: StampedLine) => text));
  }
}

test('no two lines have one time, and later ones have later times', (t) => {
  const stamp = stampSource();
  const stamps = Array.from({ length: 10_000 }, stamp);
  t.deepEqual(stamps, stamps.toSorted());
  t.is(new Set(stamps).size, stamps.length);
  const differenceMs = Math.abs(Date.parse(stamps.at(-1) ?? '') - Date.now());
  t.true(differenceMs < 1_000, `${differenceMs}`);
});

test('whatever the chunks, lines come out as they went in', async (t) => {
  const folder = await temporaryFolder(t);
  let count = 0;
  await assert(
    asyncProperty(
      array(string({ unit: 'grapheme' })),
      constantFrom(1, 3, 1000),
      async (texts, size) => {
        const lines = texts.map((text) => text.replaceAll(/[\r\n\u2028\u2029]/g, ' '));
        const path = join(folder, `log-${(count += 1)}`);
        const log = new AttemptLogWriter(path, 2 ** 20);
        const stream = log.stream();
        const content = Buffer.from(lines.map((line) => `${line}\n`).join(''));
        for (let i = 0; i < content.length; i += size) stream.write(content.subarray(i, i + size));
        stream.end();
        log.close();
        const reader = new AttemptLogReader(path);
        t.deepEqual(
          await all(reader),
          lines.map((line) => Buffer.from(line).toString()),
        );
        await reader.close();
      },
    ),
    { numRuns: tries(50) },
  );
});

test('it stays within its bounds, and one who follows reads on where it turns over', async (t) => {
  const folder = await temporaryFolder(t);
  const path = join(folder, 'log');
  const log = new AttemptLogWriter(path, 4_000);
  const reader = new AttemptLogReader(path);
  const stream = log.stream();
  const read: string[] = [];
  for (let i = 0; i < 200; i += 1) {
    stream.write(Buffer.from(`line ${i}\n`));
    if (i % 10 === 0) read.push(...(await all(reader)));
  }
  read.push(...(await all(reader)));
  await reader.close();
  t.deepEqual(
    read,
    Array.from({ length: 200 }, (_, i) => `line ${i}`),
  );
  t.deepEqual(readdirSync(folder).toSorted(), ['log', 'log.1']);
  t.true(statSync(path).size + statSync(`${path}.1`).size <= 4_000);
  const late = new AttemptLogReader(path);
  const left = await all(late);
  await late.close();
  t.deepEqual(left, read.slice(-left.length));
  t.true(left.length > 20);
});

test('a line without an end goes on in the next when it is very long', async (t) => {
  const path = join(await temporaryFolder(t), 'log');
  const log = new AttemptLogWriter(path, 2 ** 20);
  const stream = log.stream();
  stream.write(Buffer.from('x'.repeat(40_000)));
  stream.end();
  const reader = new AttemptLogReader(path);
  t.deepEqual(
    (await all(reader)).map(({ length }) => length),
    [16_384, 16_384, 7_232],
  );
  await reader.close();
});

test('a log that cannot be written costs its lines and nothing else', (t) => {
  const log = new AttemptLogWriter('/proc/no/such/folder/log', 1_000);
  t.notThrows(() => {
    log.say('x');
    log.close();
  });
});

test("of a job's log one gets the end, or what came since a time", async (t) => {
  const batch = await openLocalBatch(t, { stateFolder: await temporaryFolder(t) });
  await batch.create(jobToRun('job-a', 'chatty 3000'));
  await untilJob(batch, 'job-a', hasEnded);
  const whole = await logOf(batch, 'job-a');
  t.is(whole.length, 3002);
  t.is(whole.filter(({ text }) => text === 'last words without an end').length, 1);
  t.deepEqual(await logOf(batch, 'job-a', { tail: 3 }), whole.slice(-3));
  t.deepEqual(await logOf(batch, 'job-a', { tail: 0 }), []);
  const since = whole[2_990]?.time ?? '';
  t.deepEqual(await logOf(batch, 'job-a', { since, follow: true }), whole.slice(2_990));
});
