/** Where the drivers come from, as the settings say. */
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Logger } from 'pino';
import { FilteredSource } from '../discovery/filtered-source.js';
import { DisruptionBudgets } from '../discovery/kubernetes/disruption-budgets.js';
import { DriverResources } from '../discovery/kubernetes/driver-resources.js';
import { KubernetesFactory } from '../discovery/kubernetes/factory.js';
import { KubernetesDrivers } from '../discovery/kubernetes/kubernetes-drivers.js';
import { NearestFactory } from '../discovery/kubernetes/nearest-factory.js';
import { WatchedTemplates } from '../discovery/kubernetes/template-file.js';
import { classArchivePath, makeClassArchive } from '../discovery/local/class-archive.js';
import type { MakeDriverCommand } from '../discovery/local/local-driver.js';
import { LocalProcesses } from '../discovery/local/local-drivers.js';
import {
  sparkCommand,
  type SparkCommandOptions,
  FENCE_JAR,
} from '../discovery/local/spark-command.js';
import { PodProbes } from '../discovery/pod-probes.js';
import { tcpProbe, http2Probe } from '../discovery/port-monitor.js';
import { StaticFile } from '../discovery/static/static-drivers.js';
import type { Clock } from '../model/clock.js';
import {
  SPARK_CONNECT_PORT,
  driverSessionTimeoutMs,
  type DriverFactory,
  type DriverSource,
  type DriverRecord,
  type SessionRecord,
} from '../model/driver.js';
import { GatewayError } from '../model/errors.js';
import type { FleetProblem } from '../model/fleet-problem.js';
import type { Policy } from '../model/policy.js';
import type { Settings } from '../settings/table.js';
import { localVariants } from '../settings/types.js';
import type { Cluster, KubernetesAccess } from './kubernetes.js';
import type { ReplicaRecords } from './records.js';

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

// Drivers as pods, in one cluster or several.

export interface KubernetesDriversContext {
  readonly records: Pick<ReplicaRecords, 'ledger' | 'leadership' | 'unreadable'>;
  readonly policy: () => Policy;
  /** Whether no request of the session had an answer of its driver yet. */
  readonly isUnanswered: (session: SessionRecord) => boolean;
  readonly clock: Clock;
  readonly logger: Logger;
}

export interface DriversOfClusters extends Drivers {
  /** Keeps drivers with sessions from being evicted; to be called whenever it was looked. */
  protect(): void;
  /** Begins to look, and resolves once it was seen what there is, as far as it can be read. */
  read(): Promise<void>;
}

export async function openKubernetesDrivers(
  settings: Settings,
  access: KubernetesAccess,
  context: KubernetesDriversContext,
): Promise<DriversOfClusters> {
  const { clock, logger } = context;
  const { templatesFile } = settings.drivers.kubernetes;
  const changed = () => {
    for (const { source } of parts) source.changed();
  };
  const templates =
    templatesFile === undefined
      ? undefined
      : await WatchedTemplates.open({
          path: templatesFile,
          sessionTtlMs: settings.sessionTtlMs,
          clock,
          logger,
          onChange: changed,
        });
  const fence = templates ? await readFence() : Buffer.alloc(0);
  const parts = access.clusters.map((cluster) =>
    openCluster(cluster, { settings, access, context, templates, fence }),
  );
  return {
    sources: parts.map(({ source }) => source),
    ...(templates ? { factory: new NearestFactory(parts, clock, logger) } : {}),
    problem: () => templates?.problem,
    *problems() {
      for (const part of parts) yield* part.problems();
      const message = templates?.problem;
      if (message !== undefined) yield { kind: 'templates_invalid', message };
    },
    warmUp: () => undefined,
    protect() {
      for (const part of parts) part.protect();
    },
    async read() {
      await Promise.all(parts.map((part) => part.read()));
    },
    close() {
      templates?.close();
      for (const part of parts) part.stop();
    },
  };
}

interface ClusterOptions {
  readonly settings: Settings;
  readonly access: KubernetesAccess;
  readonly context: KubernetesDriversContext;
  readonly templates: WatchedTemplates | undefined;
  /** The jar of the driver fence; empty where no driver is made. */
  readonly fence: Buffer;
}

async function readFence(): Promise<Buffer> {
  try {
    return await readFile(FENCE_JAR);
  } catch (error) {
    throw new GatewayError(
      'SETTINGS_INVALID',
      `The driver fence is missing (${FENCE_JAR}): it is made by "npm start" and by the Dockerfile.`,
      { cause: error },
    );
  }
}

function openCluster(
  { name, api, place }: Cluster,
  { settings, access, context, templates, fence }: ClusterOptions,
) {
  const { gateway, key } = access;
  const { records, policy, clock, logger } = context;
  const { kubernetes } = settings.drivers;
  const namespaces = kubernetes.namespaces.length === 0 ? undefined : kubernetes.namespaces;
  const resources = new DriverResources({
    api,
    namespaces,
    kinds: ['SparkConnect', 'SparkApplication'],
    ...(place ? { cluster: place.name } : {}),
    gateway,
    key,
    clock,
    logger,
  });
  const pods: KubernetesDrivers = new KubernetesDrivers({
    api,
    resources,
    selectors: kubernetes.selectors,
    namespaces,
    port: SPARK_CONNECT_PORT,
    trusts: (namespace) => templates?.trusts(namespace) ?? false,
    record: (uid) => records.ledger.get(uid),
    gateway,
    probes: new PodProbes({
      probe: settings.drivers.tls.certFile === undefined ? http2Probe : tcpProbe,
      isWatched: (uid) => isProbed(records.ledger.get(uid), context),
      clock,
      onChange: () => source.changed(),
    }),
    leadership: records.leadership,
    key,
    ...(place ? { cluster: place } : {}),
    clock,
    logger,
  });
  const budgets = new DisruptionBudgets({
    api,
    resources,
    gateway,
    namespaces,
    leadership: records.leadership,
    clock,
    logger,
  });
  const source: FilteredSource = new FilteredSource(pods, () => records.unreadable());
  const factory = new KubernetesFactory({
    api,
    resources,
    ...(place ? { cluster: place.name } : {}),
    gateway,
    key,
    template: (namespace, variant) => templates?.template(namespace, variant),
    fence,
    maxMessageBytes: settings.listener.maxMessageSizeBytes,
    podLabels: (namespace) => ({ ...policy().parseNamespace?.(namespace) }),
    sessionsPerDriver: (namespace) => policy().pool(namespace)?.sessionsPerDriver,
    podsInDoubt: (namespace) => pods.inDoubt({ namespace, ...(place ? { cluster: place } : {}) }),
    leadership: records.leadership,
    clock,
    logger,
    onChange: () => source.changed(),
  });
  return {
    name,
    source,
    factory,
    *problems() {
      yield* pods.problems();
      yield* factory.problems();
    },
    protect() {
      budgets.reconcile(inUse(records.ledger.all(), place?.name, templates));
    },
    async read() {
      if (templates) budgets.start();
      pods.start();
      await Promise.all([pods.read(), resources.start()]);
    },
    stop() {
      void pods.stop();
      void resources.stop();
      void budgets.stop();
    },
  };
}

/** By the leader: those whose silence nobody would notice. */
function isProbed(
  record: DriverRecord | undefined,
  { records, isUnanswered }: Pick<KubernetesDriversContext, 'records' | 'isUnanswered'>,
): boolean {
  if (!record || records.leadership.epoch() === undefined) return false;
  if (record.phase === 'warming' || record.phase === 'available') return true;
  return record.phase === 'in_use' && Object.values(record.sessions).every(isUnanswered);
}

/** Drivers of ours with sessions, unless their template wants no budget. */
function* inUse(
  records: Iterable<DriverRecord>,
  cluster: string | undefined,
  templates: WatchedTemplates | undefined,
): Generator<{ readonly resource: string; readonly namespace: string }, void> {
  for (const { resource, namespace, variant, phase, sessions, cluster: own } of records) {
    if (resource === undefined || phase === 'gone' || own?.name !== cluster) continue;
    if (Object.keys(sessions).length === 0) continue;
    if (templates?.template(namespace, variant)?.disruptionBudget === false) continue;
    yield { resource, namespace };
  }
}
