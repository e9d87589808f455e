/** The command of a local job: which Spark, how much of the machine, and what of the environment. */
import { mkdir, writeFile } from 'node:fs/promises';
import { basename, join } from 'node:path';
import test, { type ExecutionContext } from 'ava';
import { sparkSubmit, type SparkSubmitOptions } from '../../../src/batch/local/spark-submit.js';
import type { JobToRun } from '../../../src/batch/backend.js';
import { jobToRun } from '../../support/local-batch.js';
import { temporaryFolder } from '../../support/local-world.js';

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
