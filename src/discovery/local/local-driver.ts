/** One local driver from request to end: its process and what is known of it. */
import { type ChildProcess, spawn } from 'node:child_process';
import { closeSync, openSync, readSync, fstatSync } from 'node:fs';
import type { ObservedDriver, RequestedDriver } from '../../model/driver.js';
import { reasonOf } from '../../model/errors.js';
import { cut } from '../../model/telling-line.js';
import type { PortState } from '../port-monitor.js';
import { type LocalFolders, type LocalRequest, marker } from './local-folders.js';
import { isAlive, listensOn, processId, type ProcessId } from '../../lib/child-processes/proc.js';

/** How a driver's process is started. */
export interface DriverCommand {
  readonly file: string;
  readonly args: readonly string[];
  readonly env: Readonly<Record<string, string>>;
}

/** Makes the command; `marker` must be one of its arguments, as it is. */
export type MakeDriverCommand = (driver: {
  readonly request: LocalRequest;
  readonly workFolder: string;
  readonly marker: string;
}) => DriverCommand;

const LOG_TAIL_BYTES = 16_384;

export class LocalDriver {
  readonly request: LocalRequest;
  readonly #folders: LocalFolders;
  #process: ProcessId | undefined;
  #exit: ExitStatus | undefined;
  /** Set once the process has surely ended, or could not be started. */
  #ended: string | undefined;
  deleting = false;

  /** `process`: what was started for it before, whether or not it still lives. */
  constructor(request: LocalRequest, folders: LocalFolders, process?: ProcessId) {
    this.request = request;
    this.#folders = folders;
    this.#process = process;
  }

  get process(): ProcessId | undefined {
    return this.#process;
  }

  /** Asked for, and nothing was started yet. */
  get queued(): boolean {
    return this.#process === undefined && this.#ended === undefined && !this.deleting;
  }

  /** Looks whether its process lives now. */
  isLive(): boolean {
    if (this.#ended !== undefined || this.#process === undefined) return false;
    try {
      if (isAlive(this.#process)) return true;
    } catch {
      return true; // Not known now: only one that has surely ended is taken for ended.
    }
    this.#ended = this.deleting
      ? 'The gateway has ended it.'
      : failureReason(this.#logTail(), this.#exit);
    return false;
  }

  /** Starts the process, detached: it outlives this one. `onEnd` is called when it ends. */
  start(makeCommand: MakeDriverCommand, onEnd: () => void): void {
    const { resource } = this.request;
    const workFolder = this.#folders.work(resource);
    let log: number | undefined;
    try {
      log = openSync(this.#folders.log(resource), 'a', 0o600);
      const command = makeCommand({
        request: this.request,
        workFolder,
        marker: marker(this.#folders.root, this.request),
      });
      const child = spawn(command.file, command.args, {
        cwd: workFolder,
        env: command.env,
        detached: true,
        stdio: ['ignore', log, log],
      });
      child.once('error', (error: NodeJS.ErrnoException) => {
        this.#ended =
          error.code === 'ENOENT' || error.code === 'EACCES'
            ? `The driver could not be started: ${command.file} is not a program. Set JAVA_HOME.`
            : `The driver could not be started: ${error.message}.`;
        onEnd();
      });
      child.once('exit', (code, signal) => {
        this.#exit = { code, signal };
        this.#ended = undefined; // What was said of its end may have lacked how it ended.
        onEnd();
      });
      child.unref();
      this.#process = identityOf(child);
    } catch (error) {
      const text = reasonOf(error);
      this.#ended = `The driver could not be started: ${text}`;
      queueMicrotask(onEnd);
    } finally {
      if (log !== undefined) closeSync(log);
    }
  }

  /** Whether it is its own process that listens on its port. */
  async holdsItsPort(): Promise<boolean> {
    return this.#process !== undefined && listensOn(this.#process, this.request.port);
  }

  observe(port: PortState | undefined): ObservedDriver {
    const { resource, namespace, variant, uid, address, token } = this.request;
    const base = {
      uid,
      resource,
      namespace,
      ...(variant === undefined ? {} : { variant }),
      address,
      port: this.request.port,
      token,
      fenced: this.request.fenced === true,
      instance: this.#process ? `${this.#process.pid}@${this.#process.startTime}` : '',
    };
    if (this.queued) {
      return { ...base, condition: 'starting', reason: 'It waits for other drivers to start.' };
    }
    if (!this.isLive()) {
      return { ...base, condition: 'ended', reason: this.#ended ?? 'The driver has ended.' };
    }
    if (this.deleting) return { ...base, condition: 'terminating', reason: 'It is being ended.' };
    if (port?.answers) return { ...base, condition: 'ready' };
    if (port?.taken === true) {
      const reason = `Another process answers at its address ${address}:${this.request.port}.`;
      return { ...base, condition: 'starting', reason };
    }
    if (!port?.hasAnswered) return { ...base, condition: 'starting', reason: 'Spark is starting.' };
    const reason = `Its port does not answer: ${port.reason ?? 'no reason known'}.`;
    return { ...base, condition: 'not_ready', reason };
  }

  asRequested(): RequestedDriver {
    const { resource, namespace, variant, createdAtMs } = this.request;
    const failure = !this.queued && !this.isLive() ? this.#ended : undefined;
    return {
      resource,
      namespace,
      ...(variant === undefined ? {} : { variant }),
      createdAtMs,
      ...(failure === undefined ? {} : { failure }),
    };
  }

  #logTail(): string {
    try {
      const file = openSync(this.#folders.log(this.request.resource), 'r');
      try {
        const start = Math.max(0, fstatSync(file).size - LOG_TAIL_BYTES);
        const buffer = Buffer.alloc(LOG_TAIL_BYTES);
        return buffer.toString('utf8', 0, readSync(file, buffer, 0, LOG_TAIL_BYTES, start));
      } finally {
        closeSync(file);
      }
    } catch {
      return '';
    }
  }
}

/** A process that cannot be recognised later must not run. undefined: it was not started. */
function identityOf(child: ChildProcess): ProcessId | undefined {
  if (child.pid === undefined) return undefined;
  try {
    // One that has ended already is kept as one that cannot be alive.
    return processId(child.pid) ?? { pid: child.pid, startTime: 'ended' };
  } catch (error) {
    child.kill('SIGKILL');
    throw error;
  }
}

// Why a Spark driver ended, in one line, from how it ended and the end of its log.

const LONGEST = 300;

const causes: readonly (readonly [RegExp, string])[] = [
  [/Address already in use|java\.net\.BindException/, 'its port is already in use'],
  [/Cannot assign requested address/, 'its loopback address does not exist on this machine'],
  [/OutOfMemoryError/, 'it ran out of memory: give drivers more'],
  [
    /insufficient memory for the Java Runtime|Could not reserve enough space|Cannot allocate memory/,
    'the machine has too little free memory for its Java heap',
  ],
  [/No space left on device/, 'the disk is full'],
  [
    /UnsupportedClassVersionError|Unrecognized option: --add-opens/,
    'this Java is too old for this Spark (Spark 4 needs Java 17): set JAVA_HOME',
  ],
  [
    /Could not find or load main class|ClassNotFoundException: org\.apache\.spark\.sql\.connect/,
    'SPARK_HOME has no Spark Connect server: use Spark 4, or add the spark-connect jar to its jars folder',
  ],
];

interface ExitStatus {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
}

/** Java's exit code when it was asked to end: 128 + SIGTERM. */
const ASKED_TO_END = 143;

/** `exit` is undefined for a process whose end nobody could wait for. */
export function failureReason(logTail: string, exit: ExitStatus | undefined): string {
  if (exit?.signal === 'SIGTERM' || exit?.code === ASKED_TO_END) {
    return 'The driver was asked to end (SIGTERM), by somebody else than the gateway.';
  }
  const cause = causes.find(([pattern]) => pattern.test(logTail))?.[1];
  const how =
    exit?.signal != null
      ? `ended by ${exit.signal}`
      : exit?.code != null
        ? `ended with exit code ${exit.code}`
        : 'ended';
  if (cause !== undefined) return `The driver ${how}: ${cause}.`;
  const line = lastErrorLine(logTail);
  if (line !== undefined) return `The driver ${how}: ${line}`;
  if (exit?.signal === 'SIGKILL') return `The driver ${how}, perhaps for want of memory.`;
  return `The driver ${how}.`;
}

function lastErrorLine(logTail: string): string | undefined {
  const line = logTail
    .split('\n')
    .findLast((text) => /\b(ERROR|Error|Exception)\b|Exception:|Error:/.test(text))
    ?.trim();
  return line === undefined ? undefined : cut(line, LONGEST);
}
