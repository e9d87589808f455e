/**
 * A class archive (Java's AppCDS) for local drivers: Spark's classes as the JVM maps them, made once
 * by a driver that starts and ends. It halves the CPU time that each later start takes.
 * https://docs.oracle.com/en/java/javase/17/docs/specs/man/java.html#application-class-data-sharing
 */
import { createHash } from 'node:crypto';
import { existsSync, readdirSync, realpathSync, statSync } from 'node:fs';
import { mkdir, readdir, rename, rm, writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import { join } from 'node:path';
import type { Logger } from 'pino';
import type { Clock } from '../../model/clock.js';
import type { ObservedDriver } from '../../model/driver.js';
import { LocalProcesses, stopLocalDrivers } from './local-drivers.js';
import { FENCE_JAR, sparkCommand, type SparkCommandOptions } from './spark-command.js';

/** Where the archive for this Spark and Java is, or would be. An archive of others is never used. */
export function classArchivePath(folder: string, options: SparkCommandOptions): string {
  const hash = createHash('sha256');
  const jars = join(options.sparkHome, 'jars');
  for (const name of readdirSync(jars).toSorted()) {
    const { size, mtimeMs } = statSync(join(jars, name));
    hash.update(`${name} ${size} ${mtimeMs}\n`);
  }
  hash.update(realpathSync(jars));
  hash.update(existsSync(FENCE_JAR) ? `${FENCE_JAR} ${statSync(FENCE_JAR).mtimeMs}` : 'no fence');
  hash.update(javaProgram(options));
  hash.update((options.jvmOptions ?? []).join(' '));
  return join(folder, `spark-${hash.digest('hex').slice(0, 16)}.jsa`);
}

function javaProgram({ javaHome }: SparkCommandOptions): string {
  const folders =
    javaHome === undefined ? (process.env['PATH'] ?? '').split(':') : [`${javaHome}/bin`];
  const found = folders.map((folder) => join(folder, 'java')).find((path) => existsSync(path));
  if (found === undefined) return 'none';
  const path = realpathSync(found);
  return `${path} ${statSync(path).mtimeMs}`;
}

/** The state folder of the driver that makes an archive: what is left of it is for `stopLocalDrivers`. */
export function classArchiveState(folder: string): string {
  return join(folder, 'making');
}

export interface MakeClassArchiveOptions {
  readonly spark: SparkCommandOptions;
  /** Where archives are kept. */
  readonly folder: string;
  readonly addressRange?: string;
  readonly clock: Clock;
  readonly log: Logger;
  /** Gives up, leaving no process. */
  readonly signal?: AbortSignal;
  /** Uses the driver before it ends, so that the archive has the classes of that, too. */
  readonly use?: (driver: ObservedDriver) => Promise<void>;
}

/**
 * Makes the archive unless it exists; takes some ten seconds. Answers whether it exists now: a Java
 * that cannot make one is no error, its drivers only start more slowly.
 */
export async function makeClassArchive(options: MakeClassArchiveOptions): Promise<boolean> {
  const { spark, folder, clock, log, addressRange, signal } = options;
  const archive = classArchivePath(folder, spark);
  if (existsSync(archive)) return true;
  const unavailable = `${archive}.unavailable`;
  if (existsSync(unavailable)) return false;
  const state = classArchiveState(folder);
  await stopLocalDrivers(state);
  await rm(state, { recursive: true, force: true });
  await mkdir(state, { recursive: true, mode: 0o700 });
  const unfinished = join(state, 'unfinished.jsa');
  const command = sparkCommand(spark);
  const drivers = await LocalProcesses.open({
    stateFolder: state,
    clock,
    log,
    // The archive is written when the driver ends.
    graceMs: 120_000,
    // Any port but the one of the pool's drivers, which use the same addresses.
    port: await freePort(),
    ...(addressRange === undefined ? {} : { addressRange }),
    makeCommand: (driver) => {
      const { args, ...rest } = command(driver);
      return {
        ...rest,
        args: [
          `-XX:ArchiveClassesAtExit=${unfinished}`,
          '-Xlog:cds=off',
          '-Xlog:cds+dynamic=off',
          ...args,
        ],
      };
    },
  });
  try {
    await drivers.factory.create('class-archive', 'class-archive');
    const isReady = await untilReady(drivers, signal);
    const [driver] = await drivers.source.list();
    if (!isReady || !driver) {
      if (!signal?.aborted) log.warn(`no class archive was made: ${driver?.reason}`);
      return false;
    }
    await options.use?.(driver);
    await drivers.factory.delete('class-archive', 'class-archive');
    if (!existsSync(unfinished)) {
      log.warn('this Java makes no class archive; drivers start more slowly');
      await writeFile(unavailable, '');
      return false;
    }
    await rename(unfinished, archive);
    return true;
  } finally {
    drivers.close();
    await stopLocalDrivers(state);
    await rm(state, { recursive: true, force: true });
    if (existsSync(archive) || existsSync(unavailable)) await removeOthers(folder, archive);
  }
}

/** Answers false when the driver has ended before. */
async function untilReady(drivers: LocalProcesses, signal: AbortSignal | undefined) {
  // Discovery's timers do not keep a process alive that does nothing but this.
  const alive = setInterval(() => undefined, 60_000);
  try {
    for (;;) {
      const changed = nextChange(drivers, signal);
      const [driver] = await drivers.source.list();
      if (driver?.condition === 'ready') return true;
      if (!driver || driver.condition === 'ended' || signal?.aborted) return false;
      await changed;
    }
  } finally {
    clearInterval(alive);
  }
}

function nextChange({ source }: LocalProcesses, signal: AbortSignal | undefined): Promise<void> {
  return new Promise((resolve) => {
    const done = () => {
      stop();
      signal?.removeEventListener('abort', done);
      resolve();
    };
    const stop = source.watch(done);
    signal?.addEventListener('abort', done);
  });
}

function freePort(): Promise<number> {
  return new Promise((resolve, reject) => {
    const server = createServer();
    server.once('error', reject);
    server.listen(0, '127.0.0.1', () => {
      const address = server.address();
      server.close(() => resolve(typeof address === 'object' && address ? address.port : 0));
    });
  });
}

async function removeOthers(folder: string, archive: string): Promise<void> {
  for (const name of await readdir(folder)) {
    const path = join(folder, name);
    if (/^spark-[0-9a-f]{16}\.jsa/.test(name) && !path.startsWith(archive)) await rm(path);
  }
}
