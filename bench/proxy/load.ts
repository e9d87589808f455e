/**
 * The load generator, a process of its own. Told over IPC what to send and where; answers what it
 * took. Requests are those of a stock client in size and shape: 180 bytes, session first; each session has
 * a connection of its own, as each client process has.
 */
import type { ClientHttp2Session } from 'node:http2';
import { performance } from 'node:perf_hooks';
import { setTimeout as pause } from 'node:timers/promises';
import { connectTo, rpc } from './rpc.js';
import { CHUNK_BYTES, idOfSession, type METHODS, request } from './wire.js';

export interface Load {
  /** `http://host:port`, one for each session. */
  readonly targets: readonly string[];
  readonly headers: Readonly<Record<string, string>>;
  readonly kind: keyof typeof METHODS;
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
  readonly bytes: number;
}

/** Of a contender's sessions; kept from one load to the next. */
const connections = new Map<string, readonly ClientHttp2Session[]>();

async function connectionsOf({ targets }: Load): Promise<readonly ClientHttp2Session[]> {
  const key = targets.join(' ');
  const known = connections.get(key);
  if (known) return known;
  const opened = await Promise.all(targets.map(connected));
  connections.set(key, opened);
  return opened;
}

async function connected(target: string): Promise<ClientHttp2Session> {
  const connection = await connectTo(target, { settings: { initialWindowSize: 16 * CHUNK_BYTES } });
  connection.setLocalWindowSize(64 * CHUNK_BYTES);
  return connection;
}

async function run(load: Load): Promise<LoadResult> {
  const sessions = (await connectionsOf(load)).map((connection, index) => ({
    connection,
    body: request(idOfSession(index), 'bench', load.kind, load.messages),
  }));
  const { headers } = load;
  let next = 0;
  const send = () => {
    const session = sessions[next++ % sessions.length];
    if (!session) throw new Error('there are no sessions');
    return rpc(session.connection, load.kind, headers, session.body);
  };
  const latenciesMs: number[] = [];
  let bytes = 0;
  let left = load.count;
  const worker = async () => {
    while (left > 0) {
      left -= 1;
      const startedAt = performance.now();
      bytes += await send();
      latenciesMs.push(performance.now() - startedAt);
    }
  };
  const startedAt = performance.now();
  if (load.perSecond === undefined) {
    await Promise.all(Array.from({ length: load.outstanding }, worker));
  } else
    await atRate(load.count, load.perSecond, async () => {
      const begunAt = performance.now();
      bytes += await send();
      latenciesMs.push(performance.now() - begunAt);
    });
  const seconds = (performance.now() - startedAt) / 1000;
  return { seconds, latenciesMs: latenciesMs.toSorted((a, b) => a - b), bytes };
}

/**
 * Open loop: calls begin at this rate, whatever became of those before. What is due begins when the timer
 * comes: a loop that waits more exactly would take the core from the driver beside it.
 */
async function atRate(count: number, perSecond: number, act: () => Promise<void>): Promise<void> {
  const startedAt = performance.now();
  const calls: Promise<void>[] = [];
  while (calls.length < count) {
    const due = Math.min(count, ((performance.now() - startedAt) * perSecond) / 1000);
    while (calls.length < due) calls.push(act());
    await pause(1);
  }
  await Promise.all(calls);
}

process.on('message', (load: Load) => {
  run(load).then(
    (result) => process.send?.(result),
    (error: unknown) => process.send?.({ failure: String(error) }),
  );
});
process.on('disconnect', () => process.exit(0));
