/**
 * Spark Connect drivers as local processes, each on its own loopback address. They are detached:
 * they outlive the gateway, which finds them again by their folders and their command lines.
 */
import { randomBytes, randomUUID } from 'node:crypto';
import { readdir, realpath, rm, stat } from 'node:fs/promises';
import { join } from 'node:path';
import type { Logger } from 'pino';
import type { Clock, Timer } from '../../model/clock.js';
import {
  SPARK_CONNECT_PORT,
  type DriverFactory,
  type DriverSource,
  type ObservedDriver,
  type RequestedDriver,
} from '../../model/driver.js';
import { AddressPool } from './address-pool.js';
import { endProcess } from '../../lib/child-processes/proc.js';
import { LocalDriver, type MakeDriverCommand } from './local-driver.js';
import { findMarked, LocalFolders, type LocalRequest } from './local-folders.js';
import { PortMonitor, type Probe } from '../port-monitor.js';

export interface LocalProcessesOptions {
  /** Kept over restarts; made if missing. Holds secrets, so it is for the owner only. */
  readonly stateFolder: string;
  readonly makeCommand: MakeDriverCommand;
  /** Sessions that a driver of a variant remembers at most; default: no bound is known. */
  readonly mostSessions?: (variant: string | undefined) => number | undefined;
  readonly clock: Clock;
  readonly log: Logger;
  /** Loopback addresses to use. Default 127.1.0.0/24. */
  readonly addressRange?: string;
  readonly port?: number;
  /** An address rests for this long after its driver has ended. Default 10 min. */
  readonly addressQuietMs?: number;
  /** How many drivers start at a time; the others wait, so that the first are ready soon. Default 2. */
  readonly startsAtOnce?: number;
  /** How long a driver may take to end before it is killed. Default 10 s. */
  readonly graceMs?: number;
  readonly probe?: Probe;
}

/** How often processes that are not our children are looked at. */
const LIVENESS_PERIOD_MS = 500;
const LOGS_KEPT = 50;

export class LocalProcesses {
  readonly source: DriverSource;
  readonly factory: DriverFactory;
  readonly #options: LocalProcessesOptions;
  readonly #drivers = new Map<string, LocalDriver>();
  readonly #creating = new Map<string, Promise<void>>();
  readonly #deleting = new Map<string, Promise<void>>();
  readonly #listeners = new Set<() => void>();
  readonly #live = new Set<string>();
  readonly #folders: LocalFolders;
  readonly #addresses: AddressPool;
  readonly #ports: PortMonitor;
  #timer: Timer | undefined;
  #closed = false;

  private constructor(options: LocalProcessesOptions, folders: LocalFolders) {
    const { clock, probe, addressRange = '127.1.0.0/24', port = SPARK_CONNECT_PORT } = options;
    this.#options = options;
    this.#folders = folders;
    this.#addresses = new AddressPool({
      range: addressRange,
      port,
      file: folders.addresses,
      quietMs: options.addressQuietMs ?? 600_000,
      now: () => clock.now(),
    });
    this.#ports = new PortMonitor({
      clock,
      onChange: () => this.#changed(),
      ...(probe ? { probe } : {}),
    });
    this.source = {
      list: () => this.#observe(),
      watch: (listener) => {
        this.#listeners.add(listener);
        return () => this.#listeners.delete(listener);
      },
    };
    this.factory = {
      list: () => Promise.resolve(this.#requested()),
      create: (resource, namespace, variant) => this.#create(resource, namespace, variant),
      delete: (resource) => this.#delete(resource),
    };
  }

  /** Adopts the drivers that an earlier process left, and starts what it had not come to start. */
  static async open(options: LocalProcessesOptions): Promise<LocalProcesses> {
    const made = new LocalFolders(options.stateFolder);
    await made.prepare();
    const folders = new LocalFolders(await realpath(options.stateFolder));
    const drivers = new LocalProcesses(options, folders);
    await drivers.#load();
    return drivers;
  }

  /** Stops looking. The drivers live on. */
  close(): void {
    this.#closed = true;
    this.#timer?.cancel();
    this.#ports.close();
    this.#listeners.clear();
  }

  async #load(): Promise<void> {
    const marked = await findMarked(this.#folders.root);
    for (const { request, process } of await this.#folders.readAll()) {
      const found = marked.find(({ uid }) => uid === request.uid)?.id;
      this.#drivers.set(
        request.resource,
        new LocalDriver(request, this.#folders, found ?? process),
      );
      if (found && !process) await this.#folders.writeProcess(request.resource, found);
    }
    for (const { id, namespace, resource, uid } of marked) {
      if (this.#drivers.has(resource)) continue;
      this.#options.log.warn({ resource, pid: id.pid }, 'ending a driver whose folder is missing');
      await endProcess(id, this.#graceMs);
      this.#options.log.info({ namespace, resource, uid }, 'ended');
    }
    this.#poll();
  }

  get #graceMs(): number {
    return this.#options.graceMs ?? 10_000;
  }

  /** Starts what waits, probes what lives, and looks again a little later. */
  #poll(): void {
    if (this.#closed) return;
    this.#timer?.cancel();
    this.#timer = this.#options.clock.setTimer(LIVENESS_PERIOD_MS, () => this.#poll());
    let ended = false;
    for (const [resource, driver] of this.#drivers) {
      if (driver.isLive()) void this.#watchPort(driver);
      else if (this.#live.delete(resource)) {
        this.#ports.unwatch(resource);
        ended = true;
      }
    }
    this.#startQueued();
    if (ended) this.#notify();
  }

  #watchPort(driver: LocalDriver): Promise<void> {
    const { resource, address, port } = driver.request;
    this.#live.add(resource);
    // Two gateways may have found the address free before either's driver listened.
    return this.#ports.watch(resource, address, port, () => driver.holdsItsPort());
  }

  #startQueued(): void {
    const { startsAtOnce = 2, makeCommand, log } = this.#options;
    const queued = [...this.#drivers.values()].filter((driver) => driver.queued);
    let starting = [...this.#live].filter(
      (resource) => !this.#ports.state(resource)?.hasAnswered,
    ).length;
    for (const driver of queued) {
      if (starting >= startsAtOnce) return;
      starting += 1;
      const { resource, address } = driver.request;
      driver.start(makeCommand, () => this.#changed());
      const { process } = driver;
      if (!process) continue;
      log.info({ resource, address, pid: process.pid }, 'driver process started');
      void this.#watchPort(driver);
      this.#folders.writeProcess(resource, process).catch((error: unknown) => {
        // Its command line still tells whose it is.
        if (this.#drivers.has(resource)) log.warn({ err: error, resource }, 'process not noted');
      });
    }
  }

  #changed(): void {
    this.#poll();
    this.#notify();
  }

  #notify(): void {
    for (const listener of this.#listeners) listener();
  }

  async #observe(): Promise<readonly ObservedDriver[]> {
    const live = [...this.#drivers.values()].filter((driver) => driver.isLive());
    await Promise.all(live.map((driver) => this.#watchPort(driver)));
    return [...this.#drivers.values()].map((driver) => {
      const { resource, variant } = driver.request;
      const most = this.#options.mostSessions?.(variant);
      const seen = driver.observe(this.#ports.state(resource));
      return most === undefined ? seen : { ...seen, mostSessions: most };
    });
  }

  #requested(): readonly RequestedDriver[] {
    return [...this.#drivers.values()].map((driver) => driver.asRequested());
  }

  #create(resource: string, namespace: string, variant?: string): Promise<void> {
    if (this.#drivers.has(resource)) return Promise.resolve();
    let creation = this.#creating.get(resource);
    if (!creation) {
      creation = this.#request(resource, namespace, variant).finally(() =>
        this.#creating.delete(resource),
      );
      this.#creating.set(resource, creation);
    }
    return creation;
  }

  async #request(resource: string, namespace: string, variant?: string): Promise<void> {
    const inUse = () =>
      new Set([...this.#drivers.values()].map((driver) => driver.request.address));
    const request: LocalRequest = {
      resource,
      namespace,
      ...(variant === undefined ? {} : { variant }),
      uid: randomUUID(),
      address: await this.#addresses.take(inUse),
      port: this.#options.port ?? SPARK_CONNECT_PORT,
      token: randomBytes(32).toString('base64url'),
      fenced: true,
      createdAtMs: this.#options.clock.now(),
    };
    try {
      await this.#folders.writeRequest(request);
    } catch (error) {
      await this.#addresses.release(request.address);
      throw error;
    }
    this.#drivers.set(resource, new LocalDriver(request, this.#folders));
    this.#changed();
  }

  #delete(resource: string): Promise<void> {
    let deletion = this.#deleting.get(resource);
    if (!deletion) {
      deletion = this.#end(resource).finally(() => this.#deleting.delete(resource));
      this.#deleting.set(resource, deletion);
    }
    return deletion;
  }

  async #end(resource: string): Promise<void> {
    await this.#creating.get(resource)?.catch(() => undefined);
    const driver = this.#drivers.get(resource);
    if (!driver) return;
    driver.deleting = true;
    if (driver.process) await endProcess(driver.process, this.#graceMs);
    this.#ports.unwatch(resource);
    this.#live.delete(resource);
    await this.#addresses.release(driver.request.address);
    await this.#folders.remove(resource);
    this.#drivers.delete(resource);
    await this.#pruneLogs();
    this.#changed();
  }

  /** The logs of drivers that have ended are kept for a while: they say why. */
  async #pruneLogs(): Promise<void> {
    const folder = join(this.#folders.root, 'logs');
    const logs = await Promise.all(
      (await readdir(folder)).map(async (name) => ({
        path: join(folder, name),
        live: this.#drivers.has(name.replace(/\.log$/, '')),
        changedMs: (await stat(join(folder, name))).mtimeMs,
      })),
    );
    const old = logs
      .filter(({ live }) => !live)
      .toSorted((a, b) => b.changedMs - a.changedMs)
      .slice(LOGS_KEPT);
    await Promise.all(old.map(({ path }) => rm(path, { force: true })));
  }
}

/**
 * Ends every local driver of a state folder and removes their requests. To be called when nobody
 * has the folder open; answers how many processes it ended.
 */
export async function stopLocalDrivers(stateFolder: string, graceMs = 5_000): Promise<number> {
  const given = new LocalFolders(stateFolder);
  await given.prepare();
  const folders = new LocalFolders(await realpath(stateFolder));
  const marked = await findMarked(folders.root);
  await Promise.all(marked.map(({ id }) => endProcess(id, graceMs)));
  for (const { request } of await folders.readAll()) await folders.remove(request.resource);
  return marked.length;
}
