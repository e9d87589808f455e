/** The command that runs Spark's Connect server in a JVM of its own, without the detour of spark-submit. */
import { existsSync, readdirSync } from 'node:fs';
import { basename, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { connectConf, withFence } from '../../model/connect-conf.js';
import { GatewayError } from '../../model/errors.js';
import type { MakeDriverCommand } from './local-driver.js';

export interface SparkCommandOptions {
  /** A Spark distribution, or PySpark's package folder: has `jars/` with Spark Connect in it. */
  readonly sparkHome: string;
  /** Has `bin/java`. Without it, the `java` on PATH is used. */
  readonly javaHome?: string;
  /** Default `local[2]`. */
  readonly master?: string;
  /** Heap of each driver, as `-Xmx` takes it. Default `2g`. */
  readonly memory?: string;
  /** The largest gRPC message that it accepts. Default 256 MiB. */
  readonly maxMessageBytes?: number;
  /** Spark's own session timeout, to be longer than the gateway's. Default 2 h. */
  readonly sessionTimeoutMs?: number;
  /** Replaces the JVM options that make a small driver start fast. */
  readonly jvmOptions?: readonly string[];
  /** Whether the driver refuses messages of other sessions than authz has checked. Default true. */
  readonly fence?: boolean;
  /** A class archive (see class-archive.ts); used when the file exists. */
  readonly classArchive?: string;
  /** More Spark settings. Anyone with a session can read them. */
  readonly conf?: Readonly<Record<string, string>>;
  /** More environment. Anyone with a session can read it. */
  readonly env?: Readonly<Record<string, string>>;
}

const MAIN_CLASS = 'org.apache.spark.sql.connect.service.SparkConnectServer';
const DEFAULT_MAX_MESSAGE_BYTES = 256 * 1024 * 1024;

/** The serial collector and the first compiler alone: half the CPU time of a start, for local[2]. */
const FAST_START = ['-XX:+UseSerialGC', '-XX:TieredStopAtLevel=1'];

/** What Spark needs opened of Java's modules: org.apache.spark.launcher.JavaModuleOptions. */
const MODULE_OPTIONS = [
  '-XX:+IgnoreUnrecognizedVMOptions',
  ...[
    'java.base/java.lang',
    'java.base/java.lang.invoke',
    'java.base/java.lang.reflect',
    'java.base/java.io',
    'java.base/java.net',
    'java.base/java.nio',
    'java.base/java.util',
    'java.base/java.util.concurrent',
    'java.base/java.util.concurrent.atomic',
    'java.base/jdk.internal.ref',
    'java.base/sun.nio.ch',
    'java.base/sun.nio.cs',
    'java.base/sun.security.action',
    'java.base/sun.util.calendar',
    'java.security.jgss/sun.security.krb5',
  ].map((name) => `--add-opens=${name}=ALL-UNNAMED`),
  '--sun-misc-unsafe-memory-access=allow',
  '--enable-native-access=ALL-UNNAMED',
  '-Djdk.reflect.useDirectMethodHandle=false',
  '-Dio.netty.tryReflectionSetAccessible=true',
];

/** Made by the set-up from fence/DriverFence.scala, for Spark 3.5 to 4.x. */
export const FENCE_JAR = fileURLToPath(new URL('../../../fence/driver-fence.jar', import.meta.url));
const PYTHON_WORKER = fileURLToPath(new URL('../../../../fence/python-worker', import.meta.url));

const INHERITED_ENV = ['PATH', 'HOME', 'USER', 'LANG', 'LC_ALL', 'TZ', 'LD_LIBRARY_PATH'];

/** Rejects a Spark or Java that cannot work with SETTINGS_INVALID and what to do about it. */
export function sparkCommand(options: SparkCommandOptions): MakeDriverCommand {
  const jars = connectJars(options.sparkHome);
  const java = options.javaHome === undefined ? 'java' : join(options.javaHome, 'bin', 'java');
  if (options.javaHome !== undefined && !existsSync(java)) {
    throw new GatewayError(
      'SETTINGS_INVALID',
      `JAVA_HOME is ${options.javaHome}, but there is no ${java}.`,
    );
  }
  const python = pythonOf(options.sparkHome) ?? 'python3';
  const fence = options.fence ?? true;
  if (fence && !existsSync(FENCE_JAR)) {
    throw new GatewayError(
      'SETTINGS_INVALID',
      `The driver fence is missing (${FENCE_JAR}): "npm start" makes it.`,
    );
  }
  const classPath = sparkClassPath(jars);
  const fixed = [
    `-Xmx${options.memory ?? '2g'}`,
    '-XX:+ExitOnOutOfMemoryError',
    ...(options.jvmOptions ?? FAST_START),
    ...MODULE_OPTIONS,
  ];
  return ({ request, workFolder, marker }) => {
    const unfenced: Record<string, string> = {
      'spark.app.name': `spark-connect-${request.resource}`,
      'spark.master': options.master ?? 'local[2]',
      'spark.ui.enabled': 'false',
      'spark.log.level': 'WARN',
      'spark.driver.host': request.address,
      'spark.driver.bindAddress': request.address,
      'spark.local.dir': join(workFolder, 'scratch'),
      'spark.sql.warehouse.dir': join(workFolder, 'warehouse'),
      'spark.sql.artifact.isolation.enabled': 'true',
      'spark.connect.grpc.binding.address': request.address,
      'spark.connect.grpc.binding.port': String(request.port),
      'spark.connect.session.manager.defaultSessionTimeout': `${options.sessionTimeoutMs ?? 7_200_000}ms`,
      // Its other ports: block manager and RPC.
      'spark.authenticate': 'true',
      ...connectConf(options.conf ?? {}, options.maxMessageBytes ?? DEFAULT_MAX_MESSAGE_BYTES),
    };
    const conf = fence ? withFence(unfenced) : unfenced;
    const archive = options.classArchive;
    return {
      file: java,
      args: [
        marker,
        ...fixed,
        ...(archive !== undefined && existsSync(archive)
          ? ['-Xshare:auto', `-XX:SharedArchiveFile=${archive}`]
          : []),
        `-Djava.io.tmpdir=${workFolder}`,
        ...Object.entries(conf).map(([key, value]) => `-D${key}=${value}`),
        '-cp',
        [...classPath, ...(fence ? [FENCE_JAR] : [])].join(':'),
        MAIN_CLASS,
      ],
      env: {
        ...inheritedEnv(),
        SPARK_HOME: options.sparkHome,
        SPARK_LOCAL_IP: request.address,
        // Read by the fence, and by Spark 4 where the setting is absent; unlike the setting it shows in no list of processes.
        SPARK_CONNECT_AUTHENTICATE_TOKEN: request.token,
        ...(options.javaHome === undefined ? {} : { JAVA_HOME: options.javaHome }),
        PYSPARK_PYTHON: PYTHON_WORKER,
        SPARK_GATEWAY_WORKER_PYTHON: python,
        ...options.env,
      },
    };
  };
}

function connectJars(sparkHome: string): string {
  const jars = join(sparkHome, 'jars');
  let names: readonly string[];
  try {
    names = readdirSync(jars);
  } catch (error) {
    throw new GatewayError(
      'SETTINGS_INVALID',
      `SPARK_HOME is ${sparkHome}, but ${jars} cannot be read: name a Spark 4 distribution, or the pyspark folder of a Python environment.`,
      { cause: error },
    );
  }
  if (!names.some((name) => /^spark-connect_.*\.jar$/.test(name))) {
    throw new GatewayError(
      'SETTINGS_INVALID',
      `There is no Spark Connect server in ${jars}: use Spark 4, or add the spark-connect jar.`,
    );
  }
  return jars;
}

/** As spark-submit has it, so that one class archive is for both: org.apache.spark.launcher.AbstractCommandBuilder. */
function sparkClassPath(jars: string): readonly string[] {
  const all = join(jars, '*');
  if (!sparkVersionOf(resolve(jars, '..'))?.startsWith('4.')) return [all];
  const first = readdirSync(jars).filter((name) => name.startsWith('slf4j-api-'));
  return [...first.map((name) => join(jars, name)), all];
}

/** As its jars are named; undefined: they do not say. */
export function sparkVersionOf(sparkHome: string): string | undefined {
  for (const name of readdirSync(join(sparkHome, 'jars'))) {
    const version = /^spark-connect_[\d.]+-(\d.*)\.jar$/.exec(name)?.[1];
    if (version !== undefined) return version;
  }
  return undefined;
}

/** The Python whose environment PySpark's package folder is in: it can run the driver's Python workers. */
function pythonOf(sparkHome: string): string | undefined {
  const python = resolve(sparkHome, '../../../../bin/python3');
  return basename(resolve(sparkHome, '..')) === 'site-packages' && existsSync(python)
    ? python
    : undefined;
}

function inheritedEnv(): Record<string, string> {
  return Object.fromEntries(
    INHERITED_ENV.flatMap((name) => {
      const value = process.env[name];
      return value === undefined ? [] : [[name, value]];
    }),
  );
}
