/** Drivers that someone else runs, from a file that is read again whenever it changes. */
import { createHash } from 'node:crypto';
import { watch, type FSWatcher } from 'node:fs';
import { dirname, resolve } from 'node:path';
import type { Logger } from 'pino';
import { readNamedText } from '../../lib/files/files.js';
import type { Clock, Timer } from '../../model/clock.js';
import type { DriverSource, ObservedDriver } from '../../model/driver.js';
import { GatewayError, reasonOf } from '../../model/errors.js';
import { mostSessions } from '../../model/spark-forgets.js';
import { parseStaticEntries, type StaticEntry } from './static-entries.js';
import { PortMonitor, type Probe } from '../port-monitor.js';

export interface StaticFileOptions {
  readonly path: string;
  readonly clock: Clock;
  readonly log: Logger;
  readonly probe?: Probe;
  /** How long the gateway keeps an idle session, milliseconds; absent: nobody says. */
  readonly sessionTtlMs?: number;
  /** Where `token_env` is looked up. Default: the process's environment. */
  readonly env?: Readonly<Record<string, string | undefined>>;
}

/** A text that holds no mistake. */
interface Parsed {
  readonly text: string;
  readonly entries: readonly StaticEntry[];
}

interface Loaded {
  readonly entries: readonly StaticEntry[];
  /** By uid. */
  readonly tokens: ReadonlyMap<string, string>;
}

/** A file is looked at this often even if no change was noticed (network file systems, token files). */
const REREAD_MS = 10_000;
/** Several events come with one save. */
const SETTLE_MS = 50;

export class StaticFile implements DriverSource {
  readonly #options: StaticFileOptions;
  readonly #ports: PortMonitor;
  readonly #listeners = new Set<() => void>();
  #loaded: Loaded = { entries: [], tokens: new Map() };
  /** What `#loaded` was made from. */
  #whole = '';
  #parsed: Parsed | undefined;
  #problem: string | undefined;
  #watcher: FSWatcher | undefined;
  #timer: Timer | undefined;
  #turn: Promise<void> = Promise.resolve();
  #closed = false;

  private constructor(options: StaticFileOptions) {
    const { clock, probe } = options;
    this.#options = options;
    this.#ports = new PortMonitor({
      clock,
      onChange: () => this.#notify(),
      ...(probe ? { probe } : {}),
    });
  }

  /** Reads the file for the first time. Rejects with SETTINGS_INVALID when it cannot be used. */
  static async open(options: StaticFileOptions): Promise<StaticFile> {
    const source = new StaticFile(options);
    await source.#load();
    // The folder is watched, because editors and Kubernetes put a new file in the old one's place.
    source.#watcher = watch(dirname(resolve(options.path)), () => source.#readSoon(SETTLE_MS));
    source.#watcher.on('error', (error) => {
      options.log.warn({ err: error }, `changes of ${options.path} are noticed more slowly`);
    });
    source.#watcher.unref();
    source.#readSoon(REREAD_MS);
    return source;
  }

  /** Why the file as it is now is not in force: the last good one is. */
  get problem(): string | undefined {
    return this.#problem;
  }

  async list(): Promise<readonly ObservedDriver[]> {
    const { entries, tokens } = this.#loaded;
    await Promise.all(
      entries.map(({ uid, address, port }) => this.#ports.watch(uid, address, port)),
    );
    return entries.map((entry) => this.#observe(entry, tokens.get(entry.uid)));
  }

  watch(listener: () => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  close(): void {
    this.#closed = true;
    this.#watcher?.close();
    this.#timer?.cancel();
    this.#ports.close();
    this.#listeners.clear();
  }

  #observe(entry: StaticEntry, token: string | undefined): ObservedDriver {
    const { uid, namespace, variant, address, port, sparkVersion } = entry;
    const most = mostSessions(sparkVersion);
    const state = this.#ports.state(uid);
    const base = {
      uid,
      instance: instanceOf(entry, token),
      namespace,
      ...(variant === undefined ? {} : { variant }),
      address,
      port,
      ...(token === undefined ? {} : { token }),
      fenced: entry.fence,
      ...(most === undefined ? {} : { mostSessions: most }),
    };
    if (state?.answers) return { ...base, condition: 'ready' };
    return {
      ...base,
      condition: state?.hasAnswered ? 'not_ready' : 'starting',
      reason: `${entry.name} does not answer on its port: ${state?.reason ?? 'not asked yet'}.`,
    };
  }

  #notify(): void {
    for (const listener of this.#listeners) listener();
  }

  #readSoon(delayMs: number): void {
    if (this.#closed) return;
    this.#timer?.cancel();
    this.#timer = this.#options.clock.setTimer(delayMs, () => {
      this.#readSoon(REREAD_MS);
      this.#turn = this.#turn.then(() => this.#reload());
    });
  }

  async #reload(): Promise<void> {
    const { path, log } = this.#options;
    try {
      if (!(await this.#load())) return;
      log.info({ path, drivers: this.#loaded.entries.length }, 'drivers read again');
      this.#notify();
    } catch (error) {
      const problem = reasonOf(error);
      if (problem === this.#problem) return;
      log.error(`${problem}\nThe last good version stays in force.`);
      this.#problem = problem;
      this.#notify();
    }
  }

  /** Answers whether anything changed. */
  async #load(): Promise<boolean> {
    const { path, sessionTtlMs } = this.#options;
    const text = await readNamedText(path, 'SETTINGS_INVALID', 'the file of drivers');
    // It is read far more often than it changes, and to parse a long one holds up everything else.
    const parsed =
      this.#parsed?.text === text ? this.#parsed : parseEntries(path, text, sessionTtlMs);
    this.#parsed = parsed;
    const tokens = new Map<string, string>();
    for (const entry of parsed.entries) {
      const token = await this.#token(entry);
      if (token !== undefined) tokens.set(entry.uid, token);
    }
    const whole = JSON.stringify([parsed.entries, [...tokens]]);
    this.#problem = undefined;
    if (whole === this.#whole) return false;
    this.#whole = whole;
    this.#loaded = { entries: parsed.entries, tokens };
    const uids = new Set(parsed.entries.map(({ uid }) => uid));
    for (const key of this.#ports.keys()) if (!uids.has(key)) this.#ports.unwatch(key);
    return true;
  }

  async #token({ name, tokenFile, tokenEnv }: StaticEntry): Promise<string | undefined> {
    const { path, env = process.env } = this.#options;
    if (tokenFile !== undefined) {
      const file = resolve(dirname(path), tokenFile);
      const text = await readNamedText(file, 'SETTINGS_INVALID', `the token file of ${name}`);
      return usable(text.trim(), `${path}: the token file of ${name}, ${file},`);
    }
    if (tokenEnv === undefined) return undefined;
    const token = env[tokenEnv];
    if (token === undefined || token === '') {
      throw new GatewayError(
        'SETTINGS_INVALID',
        `${path}: ${name} needs ${tokenEnv}, which is not set.`,
      );
    }
    return usable(token, `${path}: ${tokenEnv}, the token of ${name},`);
  }
}

/** @throws GatewayError SETTINGS_INVALID with every mistake in its line. */
function parseEntries(path: string, text: string, sessionTtlMs: number | undefined): Parsed {
  const parsed = parseStaticEntries(text, sessionTtlMs);
  if (!('mistakes' in parsed)) return { text, entries: parsed.entries };
  const lines = parsed.mistakes.map(({ line, message }) => `${path}:${line}: ${message}`);
  throw new GatewayError('SETTINGS_INVALID', lines.join('\n'));
}

/** A token travels in a header: visible ASCII only. The message does not show it. */
function usable(token: string, what: string): string {
  if (/^[\x21-\x7e]+$/.test(token)) return token;
  throw new GatewayError(
    'SETTINGS_INVALID',
    token === ''
      ? `${what} is empty: put the driver's spark.connect.authenticate.token there, or leave the token out.`
      : `${what} holds spaces, line breaks or characters other than ASCII, which no header can carry.`,
  );
}

/**
 * Whoever runs a driver may restart it unseen, and may say so. A driver's token cannot change while
 * it runs, so another token in the same entry is another run, where the former sessions are lost.
 */
function instanceOf({ uid, instance }: StaticEntry, token: string | undefined): string {
  const tokenMark =
    token === undefined
      ? ''
      : createHash('sha256').update(`${uid} ${token}`).digest('hex').slice(0, 12);
  return ['static', instance, tokenMark].filter((part) => part !== '').join('/');
}
