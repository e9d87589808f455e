/** Keeps a set of child processes running: starts them, restarts those that end, stops them all. */
import { copyFileSync, mkdirSync, rmSync, statSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Logger } from 'pino';
import type { Clock, Timer } from '../../model/clock.js';
import { startTethered, type TetheredProcess } from './tether.js';

export interface ChildSpec {
  /** Names its log and pid file. */
  readonly name: string;
  readonly command: string;
  readonly args: readonly string[];
  readonly env: NodeJS.ProcessEnv;
}

export interface SupervisorOptions {
  /** Receives `logs/<name>.log` and `run/<name>.pid`. */
  readonly stateDir: string;
  readonly clock: Clock;
  readonly logger: Logger;
  /** How long a child may take to end when asked, before it is killed. */
  readonly stopTimeoutMs: number;
  /** Called when a child ended although nobody asked it to; it is started again after a pause. */
  readonly onUnexpectedEnd: (name: string, exitStatus: number) => void;
}

/** Pause before a restart: doubles with each end that comes soon after the start. */
const firstBackoffMs = 500;
const longestBackoffMs = 10_000;
const stableAfterMs = 30_000;

/** A log that is larger than this makes room; one former log is kept. */
const LARGE_LOG_BYTES = 16 * 1024 * 1024;
const LOOK_AT_LOGS_MS = 5_000;

interface Child {
  readonly spec: ChildSpec;
  process: TetheredProcess | undefined;
  restart: Timer | undefined;
  backoffMs: number;
  startedAtMs: number;
}

export class Supervisor {
  readonly #options: SupervisorOptions;
  readonly #children: Child[] = [];
  #stopping = false;
  #logTimer: Timer | undefined;

  constructor(options: SupervisorOptions) {
    this.#options = options;
    mkdirSync(join(options.stateDir, 'logs'), { recursive: true, mode: 0o700 });
    mkdirSync(join(options.stateDir, 'run'), { recursive: true, mode: 0o700 });
    this.#lookAtLogs();
  }

  logFile(name: string): string {
    return join(this.#options.stateDir, 'logs', `${name}.log`);
  }

  /** Starts a child and keeps it running until `stop`. */
  run(spec: ChildSpec): void {
    const child: Child = {
      spec,
      process: undefined,
      restart: undefined,
      backoffMs: firstBackoffMs,
      startedAtMs: 0,
    };
    this.#children.push(child);
    this.#start(child);
  }

  /** Ends every child, the last started first, each given `stopTimeoutMs`. */
  async stop(): Promise<void> {
    this.#stopping = true;
    this.#logTimer?.cancel();
    for (const child of this.#children.toReversed()) {
      child.restart?.cancel();
      const process = child.process;
      if (!process) continue;
      process.release();
      const limit = this.#options.clock.setTimer(this.#options.stopTimeoutMs, () => process.kill());
      await process.ended;
      limit.cancel();
    }
  }

  #lookAtLogs(): void {
    this.#logTimer = this.#options.clock.setTimer(LOOK_AT_LOGS_MS, () => {
      for (const { spec } of this.#children) rotate(this.logFile(spec.name), this.#options.logger);
      this.#lookAtLogs();
    });
  }

  #start(child: Child): void {
    const { clock, logger } = this.#options;
    const { name } = child.spec;
    child.startedAtMs = clock.now();
    const process = startTethered({
      ...child.spec,
      logFile: this.logFile(name),
      graceMs: this.#options.stopTimeoutMs,
    });
    child.process = process;
    const pidFile = join(this.#options.stateDir, 'run', `${name}.pid`);
    void process.pid.then((pid) => {
      if (child.process !== process) return;
      writeFileSync(pidFile, `${pid}\n`);
      logger.info({ child: name, pid }, 'child started');
    });
    void process.ended.then((exitStatus) => {
      child.process = undefined;
      rmSync(pidFile, { force: true });
      if (this.#stopping) return;
      if (clock.now() - child.startedAtMs >= stableAfterMs) child.backoffMs = firstBackoffMs;
      logger.warn({ child: name, exitStatus, restartInMs: child.backoffMs }, 'child ended');
      this.#options.onUnexpectedEnd(name, exitStatus);
      child.restart = clock.setTimer(child.backoffMs, () => this.#start(child));
      child.backoffMs = Math.min(child.backoffMs * 2, longestBackoffMs);
    });
  }
}

/**
 * Copies and empties, because a running child keeps the file open; it appends, so that it goes on at
 * the new end. A line that comes between the two is lost.
 */
function rotate(logFile: string, logger: Logger): void {
  try {
    if ((statSync(logFile, { throwIfNoEntry: false })?.size ?? 0) <= LARGE_LOG_BYTES) return;
    copyFileSync(logFile, `${logFile}.1`);
    truncateSync(logFile);
  } catch (error) {
    logger.warn({ err: error, logFile }, 'a log cannot be put aside');
  }
}
