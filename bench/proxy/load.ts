/**
 * The load generator, a process of its own. Told over IPC what to send and where; answers what it
 * took. Requests are those of a stock client in size and shape: 300 bytes, session first.
 */
import { connect, type ClientHttp2Session } from 'node:http2';
import { performance } from 'node:perf_hooks';
import { setImmediate as turn, setTimeout as pause } from 'node:timers/promises';
import { CHUNK_BYTES, METHODS, request } from './wire.js';

export interface Load {
  /** `http://host:port` */
  readonly target: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly sessionId: string;
  readonly kind: 'small' | 'stream' | 'assign';
  /** RPCs at a time. */
  readonly outstanding: number;
  /** Begun each second, whatever became of those before; undefined: as many as are outstanding. */
  readonly perSecond?: number;
  /** RPCs in all. */
  readonly count: number;
  /** Messages of 1 MiB for each RPC of kind `stream`. */
  readonly messages: number;
}

export interface LoadResult {
  readonly seconds: number;
  /** Of single RPCs, milliseconds, ascending. */
  readonly latenciesMs: readonly number[];
  /** At a rate: how late each RPC was begun, by this process's own fault, milliseconds, ascending. Part of its latency. */
  readonly lateMs: readonly number[];
  readonly bytes: number;
}

async function run(load: Load): Promise<LoadResult> {
  const session = connect(load.target, { settings: { initialWindowSize: 16 * CHUNK_BYTES } });
  await new Promise<void>((resolve, reject) => {
    session.once('connect', () => resolve());
    session.once('error', reject);
  });
  session.setLocalWindowSize(64 * CHUNK_BYTES);
  const body = request(load.sessionId, 'bench', load.kind);
  const latenciesMs: number[] = [];
  const lateMs: number[] = [];
  let bytes = 0;
  let left = load.count;
  const worker = async () => {
    while (left > 0) {
      left -= 1;
      const startedAt = performance.now();
      bytes += await call(session, load, body);
      latenciesMs.push(performance.now() - startedAt);
    }
  };
  const startedAt = performance.now();
  if (load.perSecond === undefined) {
    await Promise.all(Array.from({ length: load.outstanding }, worker));
  } else
    await atRate(load.count, load.perSecond, async (dueAt) => {
      lateMs.push(performance.now() - dueAt);
      bytes += await call(session, load, body);
      latenciesMs.push(performance.now() - dueAt);
    });
  const seconds = (performance.now() - startedAt) / 1000;
  session.close();
  const ascending = (values: readonly number[]) => values.toSorted((a, b) => a - b);
  return { seconds, latenciesMs: ascending(latenciesMs), lateMs: ascending(lateMs), bytes };
}

/** Open loop: a call that is late because others were slow counts from when it was due. */
async function atRate(
  count: number,
  perSecond: number,
  act: (dueAt: number) => Promise<void>,
): Promise<void> {
  const startedAt = performance.now();
  const calls: Promise<void>[] = [];
  for (let i = 0; i < count; i += 1) {
    const dueAt = startedAt + (i * 1000) / perSecond;
    // Timers are too coarse for the last millisecond.
    const early = dueAt - performance.now();
    if (early > 2) await pause(early - 2);
    while (performance.now() < dueAt) await turn();
    calls.push(act(dueAt));
  }
  await Promise.all(calls);
}

function call(session: ClientHttp2Session, load: Load, body: Buffer): Promise<number> {
  return new Promise((resolve, reject) => {
    const stream = session.request({
      ':method': 'POST',
      ':path': METHODS[load.kind],
      'content-type': 'application/grpc',
      te: 'trailers',
      'x-bench-messages': String(load.messages),
      ...load.headers,
    });
    let bytes = 0;
    let status: string | undefined;
    let message: string | undefined;
    const note = (headers: NodeJS.Dict<string | string[]>) => {
      status = headers['grpc-status']?.toString() ?? status;
      message = headers['grpc-message']?.toString() ?? message;
    };
    stream.on('response', note);
    stream.on('trailers', note);
    stream.on('data', (chunk: Buffer) => {
      bytes += chunk.length;
    });
    stream.on('error', reject);
    stream.on('end', () => {
      if (status === '0') resolve(bytes);
      else reject(new Error(`grpc-status ${status}: ${message}`));
    });
    stream.end(body);
  });
}

process.on('message', (load: Load) => {
  run(load).then(
    (result) => process.send?.(result),
    (error: unknown) => process.send?.({ failure: String(error) }),
  );
});
process.on('disconnect', () => process.exit(0));
