/**
 * Asks servers in turn, as it is told over IPC: the first message names their sockets and the framed
 * checks (base64), each further one a slice of work, which is answered with what came of it.
 */
import { CheckLoad } from './client.js';

export interface LoadStart {
  readonly sockets: readonly string[];
  readonly messages: readonly string[];
}

export interface LoadSlice {
  /** Index in `sockets`. */
  readonly server: number;
  readonly count: number;
  readonly outstanding: number;
}

export interface LoadResult {
  readonly perSecond: number;
  readonly p50Ms: number;
  readonly p99Ms: number;
  readonly failures: number;
}

let servers: readonly CheckLoad[] = [];

async function measured({ server, count, outstanding }: LoadSlice): Promise<LoadResult> {
  const load = servers[server];
  if (!load) throw new Error(`there is no server ${server}`);
  const { seconds, latenciesMs, failures } = await load.run(count, outstanding);
  const sorted = latenciesMs.toSorted((a, b) => a - b);
  return {
    perSecond: count / seconds,
    p50Ms: sorted[Math.floor(count * 0.5)] ?? Number.NaN,
    p99Ms: sorted[Math.floor(count * 0.99)] ?? Number.NaN,
    failures,
  };
}

process.on('message', (message: LoadStart | LoadSlice) => {
  if ('sockets' in message) {
    const messages = message.messages.map((one) => Buffer.from(one, 'base64'));
    servers = message.sockets.map((socket) => new CheckLoad(socket, messages));
    return;
  }
  void measured(message).then((result) => process.send?.(result));
});
