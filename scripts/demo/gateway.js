// The gateway that a demonstration uses: the one that runs here, or one of its own.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { setTimeout as pause } from 'node:timers/promises';
import { inRoot } from '../setup/paths.js';
import { SetupError } from '../setup/setup-error.js';

const POLL_MS = 300;
const READY_TIMEOUT_MS = 5 * 60_000;
const STOP_TIMEOUT_MS = 60_000;

export class DemoGateway {
  #arguments;
  #child;
  #interrupted = false;

  /** @param {readonly string[]} args of `spark-gateway start`, if it is started */
  constructor(args) {
    this.#arguments = args;
    for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) {
      process.on(signal, () => {
        this.#interrupted = true;
      });
    }
  }

  /** Where a gateway with these settings, or the default ones, is found. */
  address(setting, otherwise) {
    return process.env[`SPARK_GATEWAY_${setting}`] || otherwise;
  }

  get admin() {
    return `http://${this.address('ADMIN_LISTEN_ADDR', '127.0.0.1:9090')}`;
  }

  get issuer() {
    return `http://${this.address('ISSUER_LISTEN_ADDR', '127.0.0.1:18080')}`;
  }

  get interrupted() {
    return this.#interrupted;
  }

  /** Resolves when drivers stand ready and tokens are to be had: PySpark itself waits for the rest. */
  async ready(env) {
    if ((await this.#readiness()) === undefined) this.#start(env);
    else console.log(`Using the gateway that runs here (${this.admin}).`);
    const deadline = Date.now() + READY_TIMEOUT_MS;
    for (;;) {
      const state = await this.#readiness();
      if (state === 'ok' && (await this.#hasIssuer())) return;
      if (this.#interrupted) throw new SetupError('interrupted');
      if (state === 'ok' && !this.#child) {
        throw new SetupError(
          `The gateway that runs here has no development issuer at ${this.issuer}.`,
        );
      }
      if (this.#child && hasEnded(this.#child)) {
        throw new SetupError('The gateway did not start; what it said last is above.');
      }
      if (Date.now() > deadline) {
        throw new SetupError(`The gateway does not become ready: ${state ?? 'no answer'}`);
      }
      await pause(POLL_MS);
    }
  }

  /** Of the development issuer. */
  async token(user) {
    const response = await fetch(`${this.issuer}/token?user=${user}`);
    return (await response.text()).trim();
  }

  async stop() {
    if (!this.#child || hasEnded(this.#child)) return;
    const ended = once(this.#child, 'exit');
    this.#child.kill('SIGTERM');
    const limit = setTimeout(() => this.#child.kill('SIGKILL'), STOP_TIMEOUT_MS);
    await ended;
    clearTimeout(limit);
    console.log('The gateway of the demo is stopped.');
  }

  /** undefined: nothing answers; `ok`; or what it still waits for. */
  async #readiness() {
    try {
      const response = await fetch(`${this.admin}/readyz/pools`, {
        signal: AbortSignal.timeout(2000),
      });
      const text = (await response.text()).trim();
      return response.ok ? 'ok' : text;
    } catch {
      return undefined;
    }
  }

  async #hasIssuer() {
    try {
      return (await fetch(`${this.issuer}/.well-known/openid-configuration`)).ok;
    } catch {
      return false;
    }
  }

  /** In a process group of its own, so that Ctrl-C reaches it through us and only once. */
  #start(env) {
    console.log(`No gateway answers at ${this.admin}: starting one for the demo.`);
    const child = spawn(
      process.execPath,
      ['--enable-source-maps', inRoot('build/src/main.js'), 'start', ...this.#arguments],
      { env, stdio: ['ignore', 'pipe', 'inherit'], detached: true },
    );
    let ready = false;
    createInterface({ input: child.stdout }).on('line', (line) => {
      // What follows it is for a person who would paste a URL.
      if (!ready && line.trim()) console.log(`  gateway: ${line.trim()}`);
      ready ||= line.includes('is ready');
    });
    this.#child = child;
  }
}

function hasEnded(child) {
  return child.exitCode !== null || child.signalCode !== null;
}
