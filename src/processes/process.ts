/** Ctrl-C and SIGTERM: a first one asks the role to end, a second one does not wait for it. */
import { readFileSync } from 'node:fs';
import { type Logger, pino } from 'pino';

const signals = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const;

/** Aborted by the first signal; the second ends the process at once, with 128 + n. */
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
