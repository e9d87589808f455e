/** The log of a local application as its readers want it: from a time, from near its end, and as it comes. */
import type { Clock } from '../../model/clock.js';
import type { BackendLogLine, LogRequest } from '../backend.js';
import { AttemptLogReader } from './attempt-log.js';

interface Options {
  readonly request: LogRequest;
  readonly clock: Clock;
  readonly closing: AbortSignal;
  /** The newest; 0: none has begun. */
  readonly attempt: () => number;
  readonly path: (attempt: number) => string;
  /** No other line comes. */
  readonly hasEnded: () => boolean;
}

const LOOK_MS = 250;

export async function* readLocalLog(options: Options): AsyncGenerator<BackendLogLine, void> {
  const { request, clock, closing, attempt: newest, path, hasEnded } = options;
  const { follow, tail } = request;
  const since = request.since === undefined ? '' : inNanoseconds(request.since);
  const signal = AbortSignal.any([request.signal, closing]);
  let attempt = newest();
  let ended = hasEnded();
  // With `tail`, what is there already is held back until its end is known.
  let held: BackendLogLine[] | undefined = tail === undefined ? undefined : [];
  let reader = new AttemptLogReader(path(attempt), tail !== undefined);
  try {
    for (;;) {
      for (;;) {
        const lines = await reader.next();
        if (signal.aborted) return;
        if (lines.length === 0) break;
        for (const { time, text } of lines) {
          if (time < since) continue;
          if (held === undefined) yield { attempt, time, text };
          else held.push({ attempt, time, text });
        }
        if (held && tail !== undefined && held.length > tail) held = held.slice(-tail);
      }
      if (held) yield* tail === 0 ? [] : held;
      held = undefined;
      if (newest() > attempt) {
        await reader.close();
        attempt = newest();
        reader = new AttemptLogReader(path(attempt));
      } else if (!follow || ended) {
        return;
      } else {
        await pause(clock, signal);
        if (signal.aborted) return;
      }
      // Known before the next read, which brings the last lines.
      ended = hasEnded();
    }
  } finally {
    await reader.close();
  }
}

/** As the log's own stamps are written, so that texts compare as times do. */
function inNanoseconds(time: string): string {
  const [, seconds = '', fraction = ''] = /^([^.Z]+)(?:\.(\d+))?Z$/.exec(time) ?? [];
  return `${seconds}.${fraction.slice(0, 9).padEnd(9, '0')}Z`;
}

function pause(clock: Clock, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const done = () => {
      timer.cancel();
      signal.removeEventListener('abort', done);
      resolve();
    };
    const timer = clock.setTimer(LOOK_MS, done);
    signal.addEventListener('abort', done);
  });
}
