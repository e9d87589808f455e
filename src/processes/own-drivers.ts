/** Where the drivers come from that need no cluster: processes of this machine, or those of a file. */
import { join } from 'node:path';
import type { Logger } from 'pino';
import { FilteredSource } from '../discovery/filtered-source.js';
import { classArchivePath, makeClassArchive } from '../discovery/local/class-archive.js';
import type { MakeDriverCommand } from '../discovery/local/local-driver.js';
import { LocalProcesses } from '../discovery/local/local-drivers.js';
import {
  sparkCommand,
  type SparkCommandOptions,
  sparkVersionOf,
} from '../discovery/local/spark-command.js';
import { tcpProbe } from '../discovery/port-monitor.js';
import { StaticFile } from '../discovery/static/static-drivers.js';
import type { Clock } from '../model/clock.js';
import {
  SPARK_CONNECT_PORT,
  driverSessionTimeoutMs,
  type DriverFactory,
  type DriverSource,
} from '../model/driver.js';
import { GatewayError } from '../model/errors.js';
import type { FleetProblem } from '../model/fleet-problem.js';
import { mostSessions, refuseSessionTtl } from '../model/spark-forgets.js';
import type { Settings } from '../settings/table.js';
import { localVariants } from '../settings/types.js';

export interface Drivers {
  readonly sources: readonly DriverSource[];
  readonly factory?: DriverFactory;
  /** Why the drivers' source as it is written now is not in force; the last good one is. */
  problem(): string | undefined;
  /** What is wrong with drivers and with what they are made from. */
  problems(): Iterable<FleetProblem>;
  /** To be called once a first driver is ready: does what makes later ones start faster. */
  warmUp(): void;
  /** Stops looking; the drivers go on. */
  close(): void;
}

interface Context {
  readonly clock: Clock;
  readonly logger: Logger;
}

/** The folder of `state_dir` that holds the local drivers. */
export function driversFolder(settings: Settings): string {
  return join(settings.stateDir, 'drivers');
}

/** The folder of `state_dir` that holds the class archives. */
export function archivesFolder(settings: Settings): string {
  return join(settings.stateDir, 'class-archives');
}

/**
 * `unreadable`: drivers whose record cannot be read, so that nobody may use them. They are not seen,
 * and are ended where they are ours.
 */
export function openOwnDrivers(
  settings: Settings,
  unreadable: ReadonlySet<string>,
  context: Context,
): Promise<Drivers> {
  return settings.drivers.source === 'static'
    ? openStatic(settings, unreadable, context)
    : openLocal(settings, unreadable, context);
}

async function openStatic(
  settings: Settings,
  unreadable: ReadonlySet<string>,
  { clock, logger }: Context,
): Promise<Drivers> {
  const path = settings.drivers.staticFile;
  if (path === undefined) {
    throw new GatewayError('SETTINGS_INVALID', 'drivers.source static needs drivers.static_file');
  }
  const secure = settings.drivers.tls.certFile !== undefined;
  const file = await StaticFile.open({
    path,
    clock,
    log: logger,
    sessionTtlMs: settings.sessionTtlMs,
    ...(secure ? { probe: tcpProbe } : {}),
  });
  return {
    sources: [new FilteredSource(file, () => unreadable)],
    problem: () => file.problem,
    problems: () =>
      file.problem === undefined ? [] : [{ kind: 'static_drivers_invalid', message: file.problem }],
    warmUp: () => undefined,
    close: () => file.close(),
  };
}

async function openLocal(
  settings: Settings,
  unreadable: ReadonlySet<string>,
  { clock, logger }: Context,
): Promise<Drivers> {
  refuseEveryAddress(settings);
  const { local } = settings.drivers;
  const { network, prefixLength } = local.addressRange;
  const addressRange = `${network}/${prefixLength}`;
  const spark = sparkOptions(settings);
  const archives = archivesFolder(settings);
  const classArchive = classArchivePath(archives, spark);
  const processes = await LocalProcesses.open({
    stateFolder: driversFolder(settings),
    makeCommand: commandByVariant({ ...spark, classArchive }, settings),
    mostSessions: mostSessionsByVariant(spark.sparkHome, settings),
    clock,
    log: logger,
    addressRange,
    addressQuietMs: settings.assignments.cacheTtlMs,
  });
  const closing = new AbortController();
  if (unreadable.size > 0) {
    for (const { uid, resource, namespace } of await processes.source.list()) {
      if (unreadable.has(uid) && resource !== undefined) {
        await processes.factory.delete(resource, namespace);
      }
    }
  }
  return {
    sources: [new FilteredSource(processes.source, () => unreadable)],
    factory: processes.factory,
    problem: () => undefined,
    problems: () => [],
    warmUp() {
      if (!local.classArchive) return;
      makeClassArchive({
        spark,
        folder: archives,
        addressRange,
        clock,
        log: logger,
        signal: closing.signal,
      }).catch((error: unknown) => {
        logger.warn({ err: error }, 'no class archive was made; drivers start more slowly');
      });
    },
    close() {
      closing.abort();
      processes.close();
    },
  };
}

/** Rejects a variant's Spark that cannot work, as `sparkCommand` does. */
function commandByVariant(spark: SparkCommandOptions, settings: Settings): MakeDriverCommand {
  const own = sparkCommand(spark);
  const variants = new Map(
    localVariants(settings).map(({ name, sparkHome = spark.sparkHome, conf }) => {
      // A class archive is for the Spark that it was made with.
      const { classArchive: _, ...others } = spark;
      const base = sparkHome === spark.sparkHome ? spark : others;
      return [name, sparkCommand({ ...base, sparkHome, conf: { ...spark.conf, ...conf } })];
    }),
  );
  return (driver) => {
    const { variant } = driver.request;
    const command = variant === undefined ? own : variants.get(variant);
    if (command) return command(driver);
    throw new GatewayError(
      'DRIVER_START_FAILED',
      `drivers.local.variants of the settings has no ${variant}.`,
    );
  };
}

/** Rejects a Spark that forgets sessions before the gateway does; says how many each variant's remembers at most. */
export function mostSessionsByVariant(ownHome: string, settings: Settings) {
  const versions = new Map<string | undefined, string | undefined>([
    [undefined, sparkVersionOf(ownHome)],
    ...localVariants(settings).map(
      ({ name, sparkHome = ownHome }) => [name, sparkVersionOf(sparkHome)] as const,
    ),
  ]);
  for (const [variant, version] of versions) {
    const forgets = refuseSessionTtl(version ?? '', settings.sessionTtlMs);
    if (forgets === undefined) continue;
    const where = variant === undefined ? 'spark_home' : `variants ${variant}`;
    throw new GatewayError('SETTINGS_INVALID', `drivers.local.${where}: ${forgets}`);
  }
  return (variant: string | undefined) => mostSessions(versions.get(variant));
}

function refuseEveryAddress({ listenAddr: { host, port } }: Settings): void {
  if (port !== SPARK_CONNECT_PORT || (host !== '0.0.0.0' && host !== '::')) return;
  throw new GatewayError(
    'SETTINGS_INVALID',
    `listen_addr takes port ${port} of every address, those of the local drivers too: listen on one address, such as 127.0.0.1:${port}, or on another port`,
  );
}

function sparkOptions(settings: Settings): SparkCommandOptions {
  const { local } = settings.drivers;
  if (local.sparkHome === undefined) {
    throw new GatewayError(
      'SETTINGS_INVALID',
      'drivers.local.spark_home: no Spark is known: use "npm start", which installs one, or set SPARK_HOME',
    );
  }
  return {
    sparkHome: local.sparkHome,
    ...(local.javaHome === undefined ? {} : { javaHome: local.javaHome }),
    master: `local[${local.cores}]`,
    memory: `${Math.floor(local.memoryBytes / 1024 / 1024)}m`,
    maxMessageBytes: settings.listener.maxMessageSizeBytes,
    sessionTimeoutMs: driverSessionTimeoutMs(settings.sessionTtlMs),
    conf: local.sparkConf,
  };
}
