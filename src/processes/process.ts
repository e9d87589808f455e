/** What every process has: the options of its Node, its end by a signal, its parts, its log. */
import { readFileSync } from 'node:fs';
import { type Logger, pino } from 'pino';

/**
 * With its usual 1 MiB for new objects Node collects garbage hundreds of times in a second of a busy
 * authz or control plane, and copies what is under way each time. The image has the same (Dockerfile).
 */
export const NODE_OPTIONS: readonly string[] = ['--enable-source-maps', '--min-semi-space-size=16'];

const signals = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const;

/** Ctrl-C and SIGTERM: aborted by the first signal, which asks the process to end; the second ends the process at once, with 128 + n. */
export function terminationSignal(): AbortSignal {
  const controller = new AbortController();
  for (const [index, name] of signals.entries()) {
    process.on(name, () => {
      if (controller.signal.aborted) process.exit(128 + ([2, 15, 1][index] ?? 0));
      controller.abort();
    });
  }
  return controller.signal;
}

/**
 * What a process has opened, closed in reverse: each part is there for as long as those that were
 * opened after it and use it. One that fails to close keeps no other open.
 */
export class Closing {
  readonly #steps: (() => unknown)[] = [];
  #closed = false;

  /** `step` may return a promise: the next one waits for it. It is done at once when all is closed already. */
  add(step: () => unknown): void {
    if (this.#closed) step();
    else this.#steps.push(step);
  }

  /** @throws AggregateError with what the steps threw, after the last of them */
  async close(): Promise<void> {
    const errors: unknown[] = [];
    for (let step = this.#steps.pop(); step; step = this.#steps.pop()) {
      try {
        await step();
      } catch (error) {
        errors.push(error);
      }
    }
    this.#closed = true;
    if (errors.length > 0) throw new AggregateError(errors, 'a part did not close');
  }
}

/** Runs a process: what `run` has opened is closed when it returns, and when it throws. */
export async function runProcess(
  run: (closing: Closing, stop: AbortSignal) => Promise<void>,
): Promise<void> {
  const closing = new Closing();
  const stop = terminationSignal();
  try {
    await run(closing, stop);
  } finally {
    await closing.close();
  }
}

/** Resolves when the signal is aborted. */
export function aborted(signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal.aborted) resolve();
    else signal.addEventListener('abort', () => resolve(), { once: true });
  });
}

/** JSON lines on standard output. What could hold a credential is cut out, wherever it appears. */
export function roleLogger(role: string, level: string): Logger {
  return pino({
    level,
    base: { role },
    timestamp: pino.stdTimeFunctions.isoTime,
    redact: {
      paths: [
        'token',
        'driverToken',
        'authorization',
        '*.token',
        '*.driverToken',
        '*.authorization',
      ],
      censor: '(secret)',
    },
  });
}

/** The release, as package.json has it. */
export function version(): string {
  const file = new URL('../../../package.json', import.meta.url);
  const parsed: unknown = JSON.parse(readFileSync(file, 'utf8'));
  return typeof parsed === 'object' && parsed !== null && 'version' in parsed
    ? String(parsed.version)
    : 'unknown';
}
