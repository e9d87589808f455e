import { type Logger, pino } from 'pino';

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
