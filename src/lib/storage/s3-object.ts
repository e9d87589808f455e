/** Objects of S3 and what speaks as it does. */
import type { S3Client } from '@aws-sdk/client-s3';
import { GatewayError, reasonOf } from '../../model/errors.js';
import { unreadable } from './file-object.js';

export interface S3Options {
  /** undefined: Amazon's own, in the region. */
  readonly endpoint: string | undefined;
  /** undefined: as the environment says (AWS_REGION), else us-east-1. */
  readonly region: string | undefined;
  /** Whether the bucket stands in the path instead of the host name, as most others than Amazon want it. */
  readonly pathStyle: boolean;
}

/** An attempt: a caller waits for it. */
const CONNECT_TIMEOUT_MS = 2_000;
const REQUEST_TIMEOUT_MS = 5_000;
const ATTEMPTS = 2;

export class S3Objects {
  readonly #options: S3Options;
  #client: Promise<S3Client> | undefined;

  constructor(options: S3Options) {
    this.#options = options;
  }

  /**
   * undefined: there is none. Rejects with RESULTS_UNREADABLE. Credentials are those of the process:
   * environment, web identity, container or instance.
   */
  async read(
    url: URL,
    maxBytes: number,
    signal: AbortSignal | undefined,
  ): Promise<Buffer | undefined> {
    const bucket = url.hostname;
    const key = keyOf(url);
    if (bucket === '' || key === '') throw unreadable(url, 'it names no bucket and key');
    const { GetObjectCommand, NoSuchKey } = await import('@aws-sdk/client-s3');
    const client = await this.#connected();
    try {
      const { Body, ContentLength = 0 } = await client.send(
        new GetObjectCommand({ Bucket: bucket, Key: key }),
        signal ? { abortSignal: signal } : {},
      );
      if (!Body || !(Symbol.asyncIterator in Body)) return Buffer.alloc(0);
      return await collect(Body as AsyncIterable<Uint8Array>, ContentLength, maxBytes, url);
    } catch (error) {
      if (error instanceof NoSuchKey) return undefined;
      if (error instanceof GatewayError) throw error;
      throw unreadable(url, `S3 answers ${nameOf(error)}: ${reasonOf(error)}`, error);
    }
  }

  #connected(): Promise<S3Client> {
    this.#client ??= this.#connect();
    return this.#client;
  }

  async #connect(): Promise<S3Client> {
    const { S3Client: Client } = await import('@aws-sdk/client-s3');
    const { endpoint, region, pathStyle } = this.#options;
    return new Client({
      ...(endpoint === undefined ? {} : { endpoint }),
      region: region ?? process.env['AWS_REGION'] ?? 'us-east-1',
      forcePathStyle: pathStyle,
      maxAttempts: ATTEMPTS,
      requestHandler: {
        connectionTimeout: CONNECT_TIMEOUT_MS,
        requestTimeout: REQUEST_TIMEOUT_MS,
      },
    });
  }
}

/** Decoded: the key is text, and the client encodes it. */
function keyOf(url: URL): string {
  const path = url.pathname.replace(/^\//, '');
  try {
    return decodeURIComponent(path);
  } catch {
    return path;
  }
}

/** Leaves the rest where it is as soon as it is too much. */
async function collect(
  body: AsyncIterable<Uint8Array>,
  announced: number,
  maxBytes: number,
  url: URL,
): Promise<Buffer> {
  const chunks: Uint8Array[] = [];
  let length = 0;
  for await (const chunk of body) {
    length += chunk.length;
    if (Math.max(length, announced) > maxBytes) {
      throw unreadable(url, `it has more than ${maxBytes} bytes`);
    }
    chunks.push(chunk);
  }
  return Buffer.concat(chunks);
}

function nameOf(error: unknown): string {
  return error instanceof Error ? error.name : 'nothing that is understood';
}
