/** One RPC of a client, as cheap as node:http2 has it. */
import { connect, type ClientHttp2Session, type SessionOptions } from 'node:http2';
import type { Gateway } from '../../test/support/gateway.js';
import { METHODS } from './wire.js';

/** @param target `http://host:port` */
export async function connectTo(
  target: string,
  options: SessionOptions = {},
): Promise<ClientHttp2Session> {
  const session = connect(target, options);
  await new Promise<void>((resolve, reject) => {
    session.once('connect', () => resolve());
    session.once('error', reject);
  });
  return session;
}

/** What a client of alice's sends with each RPC. */
export async function headersFor(gateway: Gateway): Promise<Readonly<Record<string, string>>> {
  return {
    authorization: `Bearer ${await gateway.token('alice')}`,
    'x-doordash-team': 'data',
    'x-doordash-environment': 'dev',
  };
}

/** Resolves with how many bytes were answered; rejects unless it succeeds. */
export function rpc(
  session: ClientHttp2Session,
  kind: keyof typeof METHODS,
  headers: Readonly<Record<string, string>>,
  body: Buffer,
): Promise<number> {
  return new Promise((resolve, reject) => {
    const stream = session.request({
      ':method': 'POST',
      ':path': METHODS[kind],
      'content-type': 'application/grpc',
      te: 'trailers',
      ...headers,
    });
    let bytes = 0;
    let status: string | undefined;
    let message: string | undefined;
    const note = (received: NodeJS.Dict<string | string[]>) => {
      status = received['grpc-status']?.toString() ?? status;
      message = received['grpc-message']?.toString() ?? message;
    };
    stream.on('response', note);
    stream.on('trailers', note);
    stream.on('data', (chunk: Buffer) => {
      bytes += chunk.length;
    });
    stream.on('error', reject);
    stream.on('end', () => {
      if (status === '0') resolve(bytes);
      else reject(new Error(`${METHODS[kind]}: grpc-status ${status}: ${message}`));
    });
    stream.end(body);
  });
}
