/** Logins that were made on this machine, one for each gateway: a file that only its owner reads. */
import { createHash } from 'node:crypto';
import { mkdir, open, rm, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { readTextIfThere, replaceFile } from '../../lib/files/files.js';
import { GatewayError, hasCode } from '../../model/errors.js';
import { isObject } from '../../model/json.js';
import type { ProviderOfLogin, Tokens } from './provider.js';

export interface KeptLogin extends ProviderOfLogin {
  readonly accessToken: string;
  /** Wall time, milliseconds since the epoch. */
  readonly obtainedAtMs: number;
  readonly goodUntilMs: number;
  /** undefined: the provider gives none, and the login ends with its token. */
  readonly refreshToken: string | undefined;
}

export function keptOf(
  { issuer, clientId }: ProviderOfLogin,
  tokens: Tokens,
  nowMs: number,
): KeptLogin {
  const { accessToken, refreshToken, lifeMs } = tokens;
  return {
    issuer,
    clientId,
    accessToken,
    refreshToken,
    obtainedAtMs: nowMs,
    goodUntilMs: nowMs + lifeMs,
  };
}

/** A renewal takes a few seconds; whoever held the lock for longer has crashed. */
const LOCK_STALE_MS = 60_000;
const LOCK_RETRY_MS = 100;

export class KeptLogins {
  readonly #folder: string | undefined;

  /** Below `XDG_CONFIG_HOME`, else `~/.config` (XDG Base Directory Specification). Without a home nothing is kept. */
  constructor(env: Readonly<Record<string, string | undefined>>) {
    const home = env['HOME'] ? join(env['HOME'], '.config') : undefined;
    const base = env['XDG_CONFIG_HOME'] || home;
    this.#folder = base === undefined ? undefined : join(base, 'spark-gateway', 'logins');
  }

  /** What is kept for this gateway. Rejects with ARGUMENT_INVALID where others may read it. */
  async get(gateway: URL): Promise<KeptLogin | undefined> {
    const file = this.#fileOf(gateway);
    if (file === undefined) return undefined;
    const text = await readTextIfThere(file);
    if (text === undefined) return undefined;
    if (((await stat(file)).mode & 0o077) !== 0) {
      throw new GatewayError(
        'ARGUMENT_INVALID',
        `Others than you may read ${file}, which holds a token: chmod 600 it, or remove it and log in again.`,
      );
    }
    return loginOf(text);
  }

  async put(gateway: URL, login: KeptLogin): Promise<void> {
    const file = this.#fileOf(gateway);
    if (file === undefined || this.#folder === undefined) {
      throw new GatewayError(
        'ARGUMENT_INVALID',
        'There is no place to keep a login: set HOME or XDG_CONFIG_HOME.',
      );
    }
    await mkdir(this.#folder, { recursive: true, mode: 0o700 });
    await replaceFile(file, JSON.stringify(login));
  }

  async remove(gateway: URL): Promise<void> {
    const file = this.#fileOf(gateway);
    if (file !== undefined) await rm(file, { force: true });
  }

  /**
   * Runs `act` while no other process does so for this gateway: a refresh token that is used twice ends the login
   * at many providers (RFC 9700 section 4.14.2).
   */
  async exclusively<T>(
    gateway: URL,
    pause: (ms: number) => Promise<void>,
    act: () => Promise<T>,
  ): Promise<T> {
    const file = this.#fileOf(gateway);
    if (file === undefined) return act();
    const lock = `${file}.lock`;
    while (!(await locked(lock))) await pause(LOCK_RETRY_MS);
    try {
      return await act();
    } finally {
      await rm(lock, { force: true });
    }
  }

  #fileOf({ href, host }: URL): string | undefined {
    if (this.#folder === undefined) return undefined;
    const digest = createHash('sha256').update(href).digest('hex').slice(0, 8);
    return join(this.#folder, `${host.replaceAll(/[^\w.-]+/g, '_')}-${digest}.json`);
  }
}

/** Whether this process has the lock now. One that a crash left is removed, for the next try. */
async function locked(path: string): Promise<boolean> {
  try {
    await (await open(path, 'wx', 0o600)).close();
    return true;
  } catch (error) {
    if (!hasCode(error, 'EEXIST')) throw error;
  }
  try {
    const { mtimeMs } = await stat(path);
    if (Date.now() - mtimeMs > LOCK_STALE_MS) await rm(path, { force: true });
  } catch (error) {
    if (!hasCode(error, 'ENOENT')) throw error;
  }
  return false;
}

/** undefined for what no login was ever written as: who finds none logs in again. */
function loginOf(text: string): KeptLogin | undefined {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    return undefined;
  }
  if (!isObject(value)) return undefined;
  const { issuer, clientId, accessToken, obtainedAtMs, goodUntilMs, refreshToken } = value;
  if (
    typeof issuer !== 'string' ||
    typeof clientId !== 'string' ||
    typeof accessToken !== 'string' ||
    typeof obtainedAtMs !== 'number' ||
    typeof goodUntilMs !== 'number'
  ) {
    return undefined;
  }
  return {
    issuer,
    clientId,
    accessToken,
    obtainedAtMs,
    goodUntilMs,
    refreshToken: typeof refreshToken === 'string' ? refreshToken : undefined,
  };
}
