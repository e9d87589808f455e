import { readFileSync, truncateSync } from 'node:fs';
import { setTimeout as pause } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { startTethered, type TetheredProcess } from '../../src/lib/child-processes/tether.js';

const main = fileURLToPath(new URL('../../src/main.js', import.meta.url));
const POLL_MS = 50;

export interface RoleProcessOptions {
  /** A command of spark-gateway that runs until it is ended. */
  readonly role: 'start' | 'control-plane' | 'authz' | 'issuer' | 'runner' | 'playground';
  /** Its settings file. */
  readonly config: string;
  readonly env: NodeJS.ProcessEnv;
  /** Where its output goes. */
  readonly logFile: string;
}

/** One process of spark-gateway as a pod or a unit runs it; tied to this process, so that nothing stays when a test run is ended. */
export class RoleProcess {
  readonly #options: RoleProcessOptions;
  #process: TetheredProcess;
  #hasEnded = false;

  constructor(options: RoleProcessOptions) {
    this.#options = options;
    this.#process = this.#spawn();
  }

  get pid(): Promise<number> {
    return this.#process.pid;
  }

  /** Resolves with its exit status. */
  get ended(): Promise<number> {
    return this.#process.ended;
  }

  /** All that it has written. */
  output(): string {
    return readFileSync(this.#options.logFile, 'utf8');
  }

  /** The end of what it has written, for a failing test. */
  log(): string {
    return this.output().split('\n').slice(-40).join('\n');
  }

  /** Its lines that are JSON. */
  lines(): Record<string, unknown>[] {
    return this.output()
      .split('\n')
      .filter((line) => line.startsWith('{'))
      .map((line) => JSON.parse(line) as Record<string, unknown>);
  }

  /** Resolves when it has written this. Rejects when it ends before. */
  async says(text: string): Promise<void> {
    while (!this.output().includes(text)) {
      if (this.#hasEnded) {
        throw new Error(`${this.#options.role} did not say "${text}":\n${this.log()}`);
      }
      await pause(POLL_MS);
    }
  }

  async signal(name: NodeJS.Signals): Promise<void> {
    if (!this.#hasEnded) process.kill(await this.#process.pid, name);
  }

  /** Kills it, as a node that goes down does. */
  async kill(): Promise<void> {
    await this.signal('SIGKILL');
    await this.#process.ended;
  }

  /** Asks it to end. Resolves with its exit status. */
  async end(signal: NodeJS.Signals = 'SIGTERM'): Promise<number> {
    await this.signal(signal);
    return this.#process.ended;
  }

  /** Starts it again, when it has ended, with an empty log if `afresh`. */
  startAgain({ afresh = false } = {}): void {
    if (afresh) truncateSync(this.#options.logFile);
    this.#process = this.#spawn();
  }

  #spawn(): TetheredProcess {
    const { role, config, env, logFile } = this.#options;
    const started = startTethered({
      command: process.execPath,
      args: ['--enable-source-maps', main, role, '--config', config],
      env,
      logFile,
    });
    this.#hasEnded = false;
    void started.ended.then(() => {
      if (this.#process === started) this.#hasEnded = true;
    });
    return started;
  }
}
