/** A real Envoy for tests. */
import { type ChildProcessWithoutNullStreams, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import type { TcpAddress } from '../../src/model/address.js';
import {
  type BootstrapValues,
  envoyArguments,
  renderBootstrap,
} from '../../src/envoy/bootstrap.js';

/** Envoy's binary: `ENVOY_BIN`, else the one that the set-up installed. */
export function findEnvoy(): string {
  const override = process.env['ENVOY_BIN'];
  if (override) return override;
  const lib = '.local/venv/lib';
  const versions = existsSync(lib) ? readdirSync(lib) : [];
  const found = versions
    .map((version) => join(lib, version, 'site-packages/envoy/_bin/envoy'))
    .find((path) => existsSync(path));
  if (!found) throw new Error('No Envoy: run the set-up, or set ENVOY_BIN to its path.');
  return found;
}

export const bootstrapTemplate = (): string => readFileSync('envoy/bootstrap.yaml', 'utf8');

export interface Validation {
  readonly ok: boolean;
  /** Warnings and errors. */
  readonly complaints: readonly string[];
}

/** `envoy --mode validate` over the bootstrap. */
export function validateBootstrap(json: string): Validation {
  const directory = mkdtempSync(join(tmpdir(), 'envoy-validate-'));
  try {
    const bootstrapFile = join(directory, 'bootstrap.json');
    writeFileSync(bootstrapFile, json);
    const { status, stderr } = spawnSync(
      findEnvoy(),
      ['--mode', 'validate', '--disable-hot-restart', '--config-path', bootstrapFile],
      { encoding: 'utf8' },
    );
    return { ok: status === 0, complaints: stderr.split('\n').filter(isComplaint) };
  } finally {
    rmSync(directory, { recursive: true });
  }
}

function isComplaint(line: string): boolean {
  return /\]\[(warning|error|critical)\]/.test(line);
}

export class EnvoyProcess {
  readonly #child: ChildProcessWithoutNullStreams;
  readonly #directory: string;
  readonly #lines: string[] = [];
  readonly #waiting = new Set<{ readonly pattern: RegExp; readonly resolve: () => void }>();

  private constructor(values: BootstrapValues) {
    this.#directory = mkdtempSync(join(tmpdir(), 'envoy-'));
    const bootstrapFile = join(this.#directory, 'bootstrap.json');
    writeFileSync(bootstrapFile, renderBootstrap(bootstrapTemplate(), values));
    const args = envoyArguments({
      bootstrapFile,
      concurrency: 1,
      logLevel: 'info',
      drainSeconds: 1,
    });
    this.#child = spawn(findEnvoy(), [...args, '--admin-address-path', this.#adminFile]);
    // A test that fails in its own set-up must leave no Envoy behind.
    process.once('exit', this.#kill);
    createInterface(this.#child.stderr).on('line', (line) => this.#read(line));
    this.#child.stdout.resume();
  }

  /** Starts and resolves once the listeners that the control plane sent are open. */
  static async start(values: BootstrapValues): Promise<EnvoyProcess> {
    const envoy = new EnvoyProcess(values);
    await Promise.race([
      envoy.logged(/starting workers/),
      once(envoy.#child, 'exit').then(() => {
        throw new Error(`Envoy ended: ${envoy.complaints().join('\n')}`);
      }),
    ]);
    return envoy;
  }

  get #adminFile(): string {
    return join(this.#directory, 'admin-address');
  }

  /** Resolves when a line of Envoy's log, past or to come, matches. */
  logged(pattern: RegExp): Promise<void> {
    if (this.#lines.some((line) => pattern.test(line))) return Promise.resolve();
    return new Promise((resolve) => {
      this.#waiting.add({ pattern, resolve });
    });
  }

  /** Warnings and errors of Envoy's log so far. */
  complaints(): readonly string[] {
    return this.#lines.filter(isComplaint);
  }

  get adminAddress(): TcpAddress {
    const [host = '', port] = readFileSync(this.#adminFile, 'utf8').split(':');
    return { host, port: Number(port) };
  }

  async admin(path: string, method: 'GET' | 'POST' = 'GET'): Promise<string> {
    const response = await fetch(`http://${readFileSync(this.#adminFile, 'utf8')}${path}`, {
      method,
    });
    return response.text();
  }

  async stat(name: string): Promise<number> {
    const text = await this.admin(`/stats?filter=${encodeURIComponent(`^${name}$`)}`);
    return Number(text.split(': ')[1] ?? Number.NaN);
  }

  /** `ip:port` on which the listener really listens. */
  async listenerAddress(): Promise<string> {
    const text = await this.admin('/listeners');
    const address = /^spark_connect::(\S+)/m.exec(text)?.[1];
    if (!address) throw new Error(`No listener: ${text}`);
    return address;
  }

  async stop(): Promise<void> {
    process.off('exit', this.#kill);
    if (this.#child.exitCode === null && this.#child.signalCode === null) {
      const exited = once(this.#child, 'exit');
      this.#kill();
      await exited;
    }
    rmSync(this.#directory, { recursive: true, force: true });
  }

  readonly #kill = (): void => {
    this.#child.kill('SIGKILL');
  };

  #read(line: string): void {
    this.#lines.push(line);
    for (const entry of this.#waiting) {
      if (!entry.pattern.test(line)) continue;
      this.#waiting.delete(entry);
      entry.resolve();
    }
  }
}
