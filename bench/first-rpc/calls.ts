/** Single RPCs of a Spark Connect client, as small as they come. */
import { connect, type ClientHttp2Session } from 'node:http2';
import { performance } from 'node:perf_hooks';
import { METHODS, request } from '../proxy/wire.js';

export interface Caller {
  /** `http://host:port` */
  readonly target: string;
  readonly headers: Readonly<Record<string, string>>;
}

export async function connectTo({ target }: Caller): Promise<ClientHttp2Session> {
  const session = connect(target);
  await new Promise<void>((resolve, reject) => {
    session.once('connect', () => resolve());
    session.once('error', reject);
  });
  return session;
}

/** Calls Config. Resolves with how long it took, milliseconds; rejects unless it succeeds. */
export function firstRpc(
  session: ClientHttp2Session,
  { headers }: Caller,
  sessionId: string,
): Promise<number> {
  return new Promise((resolve, reject) => {
    const startedAt = performance.now();
    const stream = session.request({
      ':method': 'POST',
      ':path': METHODS.assign,
      'content-type': 'application/grpc',
      te: 'trailers',
      ...headers,
    });
    let status: string | undefined;
    let message: string | undefined;
    const note = (received: NodeJS.Dict<string | string[]>) => {
      status = received['grpc-status']?.toString() ?? status;
      message = received['grpc-message']?.toString() ?? message;
    };
    stream.on('response', note);
    stream.on('trailers', note);
    stream.on('error', reject);
    stream.resume();
    stream.on('end', () => {
      if (status === '0') resolve(performance.now() - startedAt);
      else reject(new Error(`grpc-status ${status}: ${message}`));
    });
    stream.end(request(sessionId, 'alice', 'assign'));
  });
}
