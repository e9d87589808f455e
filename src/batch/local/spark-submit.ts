/** The command that runs a job's manifest with a Spark of this machine: its own spark-submit, in one JVM. */
import { existsSync, readdirSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { basename, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { GatewayError } from '../../model/errors.js';
import type { JobToRun } from '../backend.js';

export interface SparkSubmitOptions {
  /** Sparks: distributions, or PySpark's package folders. The first of a release is taken. */
  readonly sparkHomes: readonly string[];
  /** Has `bin/java`. Without it, the `java` on PATH is used. */
  readonly javaHome?: string;
  /** The largest heap of a job, as -Xmx takes it, whatever its manifest asks for. Default `2g`. */
  readonly memory?: string;
  /** The most cores that a job gets. Default: those of the machine. */
  readonly cores?: number;
  /** Folders of this machine that jobs in the sandbox may read, besides their stores. */
  readonly sandboxPaths?: readonly string[];
  /** Where the class archive of a Spark (src/discovery/local/class-archive.ts) is, or would be. */
  readonly classArchive?: (sparkHome: string) => string;
  /** More Spark settings. */
  readonly conf?: Readonly<Record<string, string>>;
  /** More environment. */
  readonly env?: Readonly<Record<string, string>>;
}

export interface AttemptToRun {
  readonly job: Omit<JobToRun, 'jobFile'>;
  readonly jobFile: string;
  /** Must be an argument of the process, as it is. */
  readonly marker: string;
  readonly workFolder: string;
  /** Where the job leaves its last words. */
  readonly reportFile: string;
}

export interface JobCommand {
  readonly file: string;
  readonly args: readonly string[];
  readonly env: Readonly<Record<string, string>>;
  readonly notes: readonly string[];
}

/** Throws BATCH_REFUSED or SETTINGS_INVALID where this machine cannot run such a job. */
export type MakeJobCommand = (attempt: AttemptToRun) => JobCommand;

const RUNNER = fileURLToPath(new URL('../../../../coreetl/coreetl_runner.py', import.meta.url));
const INHERITED_ENV = ['PATH', 'HOME', 'USER', 'LANG', 'LC_ALL', 'TZ', 'LD_LIBRARY_PATH'];
/** The serial collector and the first compiler alone: half the CPU time of a start. */
const FAST_START = '-XX:+UseSerialGC -XX:TieredStopAtLevel=1';

interface Spark {
  readonly home: string;
  /** As 4.1.0. */
  readonly release: string;
  readonly python: string;
}

export function sparkSubmit(options: SparkSubmitOptions): MakeJobCommand {
  let sparks: readonly Spark[] | undefined;
  const { memory = '2g', cores = availableParallelism(), javaHome, conf = {}, env = {} } = options;
  const sandboxPaths = options.sandboxPaths ?? [];
  return ({ job, jobFile, marker, workFolder, reportFile }) => {
    // Not before it is needed: a gateway without batch jobs may have half a Spark.
    sparks ??= options.sparkHomes.map(sparkAt);
    const spark = chooseSpark(sparks, job.engineVersion);
    const { driver, executor } = job.resources;
    const threads = Math.min(cores, Math.max(1, executor.cores * executor.instances));
    const settings: Record<string, string> = {
      'spark.ui.enabled': 'true',
      // Any that is free: the job says which one it got.
      'spark.ui.port': '0',
      'spark.ui.showConsoleProgress': 'false',
      'spark.driver.host': '127.0.0.1',
      'spark.driver.bindAddress': '127.0.0.1',
      'spark.driver.extraJavaOptions': [
        FAST_START,
        ...archiveOptions(options.classArchive?.(spark.home)),
        `-Djava.io.tmpdir=${workFolder}`,
      ].join(' '),
      'spark.local.dir': join(workFolder, 'scratch'),
      'spark.sql.warehouse.dir': join(workFolder, 'warehouse'),
      ...conf,
    };
    return {
      file: join(spark.home, 'bin', 'spark-submit'),
      args: [
        '--master',
        `local[${threads}]`,
        '--name',
        job.id,
        '--driver-memory',
        smaller(driver.memory, memory),
        ...Object.entries(settings).flatMap(([key, value]) => ['--conf', `${key}=${value}`]),
        '--conf',
        marker,
        RUNNER,
        '--job',
        jobFile,
      ],
      env: {
        ...inheritedEnv(),
        SPARK_HOME: spark.home,
        SPARK_LOCAL_IP: '127.0.0.1',
        PYSPARK_PYTHON: spark.python,
        PYSPARK_DRIVER_PYTHON: spark.python,
        PYTHONUNBUFFERED: '1',
        PYTHONDONTWRITEBYTECODE: '1',
        COREETL_TERMINATION_LOG: reportFile,
        COREETL_SANDBOX_PATHS: sandboxPaths.join(':'),
        ...(javaHome === undefined ? {} : { JAVA_HOME: javaHome }),
        ...env,
      },
      notes: spark.release.startsWith(`${job.engineVersion}.`)
        ? []
        : [
            `Spark ${spark.release} runs this job: there is no ${job.engineVersion}, which its manifest names, on this machine.`,
          ],
    };
  };
}

function archiveOptions(archive: string | undefined): readonly string[] {
  return archive !== undefined && existsSync(archive)
    ? ['-Xshare:auto', `-XX:SharedArchiveFile=${archive}`]
    : [];
}

/** Of the wanted release, else of the same generation. */
function chooseSpark(sparks: readonly Spark[], wanted: string): Spark {
  const generation = wanted.split('.')[0] ?? '';
  const found =
    sparks.find(({ release }) => release.startsWith(`${wanted}.`)) ??
    sparks.find(({ release }) => release.startsWith(`${generation}.`));
  if (found) return found;
  const there = sparks.map(({ release }) => release).join(', ');
  throw new GatewayError(
    'BATCH_REFUSED',
    `There is no Spark ${wanted} on this machine (spec.engine.version), only ${there}.`,
  );
}

/** Throws SETTINGS_INVALID for what is no Spark. */
function sparkAt(home: string): Spark {
  let names: readonly string[];
  try {
    names = readdirSync(join(home, 'jars'));
  } catch (error) {
    throw new GatewayError(
      'SETTINGS_INVALID',
      `SPARK_HOME is ${home}, but ${join(home, 'jars')} cannot be read: name a Spark distribution, or the pyspark folder of a Python environment.`,
      { cause: error },
    );
  }
  const release = names
    .map((name) => /^spark-core_[\d.]+-(\d+\.\d+\.\d+)/.exec(name)?.[1])
    .find((version) => version !== undefined);
  if (release === undefined || !existsSync(join(home, 'bin', 'spark-submit'))) {
    throw new GatewayError('SETTINGS_INVALID', `SPARK_HOME is ${home}, which is no whole Spark.`);
  }
  return { home, release, python: pythonOf(home) };
}

/** The Python whose environment PySpark's package folder is in, else the one on PATH. */
function pythonOf(home: string): string {
  const python = resolve(home, '../../../../bin/python3');
  return basename(resolve(home, '..')) === 'site-packages' && existsSync(python)
    ? python
    : 'python3';
}

const UNITS = { k: 2 ** 10, m: 2 ** 20, g: 2 ** 30, t: 2 ** 40 } as const;

function smaller(a: string, b: string): string {
  return bytesOf(a) <= bytesOf(b) ? a : b;
}

/** As Spark and Java write memory: 512m, 4g. */
function bytesOf(text: string): number {
  const [, count = '', unit = 'm'] = /^(\d+)([kmgt])?b?$/i.exec(text) ?? [];
  const factor = Object.entries(UNITS).find(([name]) => name === unit.toLowerCase())?.[1];
  return count === '' || factor === undefined ? Infinity : Number(count) * factor;
}

function inheritedEnv(): Record<string, string> {
  return Object.fromEntries(
    INHERITED_ENV.flatMap((name) => {
      const value = process.env[name];
      return value === undefined ? [] : [[name, value]];
    }),
  );
}
