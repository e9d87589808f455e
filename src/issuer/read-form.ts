import type { IncomingMessage } from 'node:http';

const MAX_BYTES = 16 * 1024;

/** The body of a form (application/x-www-form-urlencoded). Empty when it is larger than any that is meant. */
export async function readForm(request: IncomingMessage): Promise<URLSearchParams> {
  const chunks: Buffer[] = [];
  let length = 0;
  for await (const chunk of request as AsyncIterable<Buffer>) {
    length += chunk.length;
    if (length > MAX_BYTES) return new URLSearchParams();
    chunks.push(chunk);
  }
  return new URLSearchParams(Buffer.concat(chunks).toString());
}
