/** The authz sidecar of an Envoy as its pod runs it: a process of its own that knows no API server. */
import { mkdirSync, mkdtempSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { stringify } from 'yaml';
import { CheckClient, denied, type CheckOptions } from '../support/check-client.js';
import { RoleProcess } from '../support/role-process.js';
import { until } from './until.js';

const PATIENCE_MS = 60_000;

export class AuthzProcess {
  readonly #host: string;
  readonly #folder = mkdtempSync(join(tmpdir(), 'authz-'));
  readonly #process: RoleProcess;

  /** `host`: its loopback address. */
  constructor(host: string, settings: object) {
    this.#host = host;
    mkdirSync(join(this.#folder, 'state'));
    const own = {
      listen_addr: `${host}:15002`,
      state_dir: 'state',
      authz: { listen_addr: `${host}:9000`, metrics_addr: `${host}:9091` },
    };
    writeFileSync(join(this.#folder, 'gateway.yaml'), stringify({ ...own, ...settings }));
    this.#process = new RoleProcess({
      role: 'authz',
      config: join(this.#folder, 'gateway.yaml'),
      env: { PATH: process.env['PATH'] },
      logFile: join(this.#folder, 'log'),
    });
  }

  /** What it answers to a check that it refuses. Rejects with a gRPC error when it does not answer. */
  async refusal(options: CheckOptions) {
    const client = new CheckClient(`${this.#host}:9000`);
    try {
      return denied(await client.check(options));
    } finally {
      client.close();
    }
  }

  /** The answer of /readyz: its status, and what is missing. */
  async readiness(): Promise<string> {
    const response = await fetch(`http://${this.#host}:9091/readyz`, {
      signal: AbortSignal.timeout(5_000),
    });
    return `${response.status} ${await response.text()}`;
  }

  /** Mode bits of a file in its state directory. */
  modeOf(name: string): number {
    return statSync(join(this.#folder, 'state', name)).mode & 0o777;
  }

  /** Asks again and again until it is so. */
  async until(what: string, isSo: () => Promise<boolean>): Promise<void> {
    await until(isSo, {
      what: `authz ${what}`,
      patienceMs: PATIENCE_MS,
      log: () => this.log(),
    });
  }

  log(): string {
    return this.#process.log();
  }

  /** Kills it and starts it again. */
  async restart(): Promise<void> {
    await this.#process.kill();
    this.#process.startAgain();
  }

  async stop(): Promise<void> {
    await this.#process.kill();
    rmSync(this.#folder, { recursive: true, force: true });
  }
}
