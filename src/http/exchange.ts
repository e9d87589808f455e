/** One HTTP request, as handlers see it. */
import type { IncomingHttpHeaders, IncomingMessage } from 'node:http';
import { GatewayError } from '../model/errors.js';

export interface Exchange {
  readonly method: string;
  /** Without query. */
  readonly path: string;
  readonly query: URLSearchParams;
  readonly headers: IncomingHttpHeaders;
  /** What stands for `{name}` in the route, decoded. */
  readonly parameters: Readonly<Record<string, string>>;
  /** IP address of whoever asks. */
  readonly client: string | undefined;
  /** Aborted when the client has gone. */
  readonly signal: AbortSignal;
  /** The whole body. Rejects with HTTP_BODY_TOO_LARGE or, when the client went, with REQUEST_UNREADABLE. */
  body(): Promise<Buffer>;
}

/** Bodies beyond it are refused, bytes. */
export const MAX_BODY_BYTES = 1024 * 1024;

export async function readBody(request: IncomingMessage): Promise<Buffer> {
  const tooLarge = () =>
    new GatewayError(
      'HTTP_BODY_TOO_LARGE',
      `The body of the request is larger than ${MAX_BODY_BYTES} bytes.`,
    );
  if (Number(request.headers['content-length'] ?? 0) > MAX_BODY_BYTES) throw tooLarge();
  const chunks: Buffer[] = [];
  let length = 0;
  try {
    for await (const chunk of request as AsyncIterable<Buffer>) {
      length += chunk.length;
      if (length > MAX_BODY_BYTES) throw tooLarge();
      chunks.push(chunk);
    }
  } catch (error) {
    if (error instanceof GatewayError) throw error;
    throw new GatewayError('REQUEST_UNREADABLE', 'The request ended before its body did.', {
      cause: error,
    });
  }
  return Buffer.concat(chunks);
}
