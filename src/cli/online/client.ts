/** Asks the admin API. */
import { request as requestHttp, type IncomingMessage } from 'node:http';
import { request as requestHttps } from 'node:https';
import { GatewayError, isErrorCode } from '../../model/errors.js';

export interface AdminClientOptions {
  /** Where the control plane answers. */
  readonly url: URL;
  readonly token: string;
  /** PEM; undefined: the authorities that Node knows. */
  readonly ca: string | undefined;
}

const TIMEOUT_MS = 30_000;
/** No answer comes near this size. */
const MAX_ANSWER_BYTES = 256 * 1024 * 1024;

export class AdminClient {
  readonly #options: AdminClientOptions;

  constructor(options: AdminClientOptions) {
    this.#options = options;
  }

  /** `path` without the part that all have. Rejects with what the gateway says, or with ADMIN_API_UNREACHABLE. */
  get<T>(path: string, query: Readonly<Record<string, string>> = {}): Promise<T> {
    const text = new URLSearchParams(query).toString();
    return this.#ask('GET', text === '' ? path : `${path}?${text}`, undefined);
  }

  post<T>(path: string, body: unknown, type = 'application/json'): Promise<T> {
    return this.#ask('POST', path, {
      type,
      text: typeof body === 'string' ? body : JSON.stringify(body),
    });
  }

  async #ask<T>(
    method: string,
    path: string,
    body: { readonly type: string; readonly text: string } | undefined,
  ): Promise<T> {
    const { url, token, ca } = this.#options;
    const target = new URL(`api/v1/${path}`, url.href.endsWith('/') ? url : `${url.href}/`);
    const { status, text } = await exchange(target, {
      method,
      headers: {
        accept: 'application/json',
        authorization: `Bearer ${token}`,
        ...(body ? { 'content-type': body.type } : {}),
      },
      body: body?.text,
      ca,
    });
    const answer = parsed(text);
    if (status >= 200 && status < 300 && answer !== undefined) {
      // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- src/model/admin-api.ts is the contract
      return answer as T;
    }
    throw refusal(target, status, answer);
  }
}

export interface HttpAnswer {
  readonly status: number;
  readonly text: string;
}

/** One request. Rejects with ADMIN_API_UNREACHABLE when no answer comes. */
export function exchange(
  url: URL,
  options: {
    readonly method: string;
    readonly headers: Readonly<Record<string, string>>;
    readonly body: string | undefined;
    readonly ca: string | undefined;
  },
): Promise<HttpAnswer> {
  const { method, headers, body, ca } = options;
  return new Promise<HttpAnswer>((resolve, reject) => {
    const fail = (error: Error) => reject(unreachable(url, error));
    const answered = (response: IncomingMessage) => {
      read(response).then(resolve, fail);
    };
    const shared = { method, headers, timeout: TIMEOUT_MS };
    const request =
      url.protocol === 'https:'
        ? requestHttps(url, { ...shared, ...(ca === undefined ? {} : { ca }) }, answered)
        : requestHttp(url, shared, answered);
    request.on('timeout', () => request.destroy(new Error(`no answer within ${TIMEOUT_MS} ms`)));
    request.on('error', fail);
    request.end(body);
  });
}

async function read(response: IncomingMessage): Promise<HttpAnswer> {
  const chunks: Buffer[] = [];
  let length = 0;
  for await (const chunk of response as AsyncIterable<Buffer>) {
    length += chunk.length;
    if (length > MAX_ANSWER_BYTES) throw new Error('the answer is too large');
    chunks.push(chunk);
  }
  return { status: response.statusCode ?? 0, text: Buffer.concat(chunks).toString('utf8') };
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

function unreachable(url: URL, cause: Error): GatewayError {
  // Of several addresses that were tried, none of which answered, there is a code only.
  const code = 'code' in cause ? String(cause.code) : '';
  const why = cause.message === '' ? code : cause.message;
  return new GatewayError(
    'ADMIN_API_UNREACHABLE',
    `${url.origin} cannot be reached: ${why}. Does the gateway run there? --server, SPARK_GATEWAY_ADMIN_URL or the settings say where.`,
    { cause },
  );
}

/** What the gateway says of itself, or that whatever answered is none. */
function refusal(url: URL, status: number, answer: unknown): GatewayError {
  const error = field(answer, 'error');
  const code = field(error, 'code');
  const message = field(error, 'message');
  if (typeof code === 'string' && typeof message === 'string') {
    return new GatewayError(isErrorCode(code) ? code : 'ADMIN_API_REFUSED', message);
  }
  return new GatewayError(
    'ADMIN_API_UNREACHABLE',
    `${url.origin} answers with status ${status} and not as a gateway of this release does. Check --server or SPARK_GATEWAY_ADMIN_URL.`,
  );
}

function field(value: unknown, name: string): unknown {
  if (typeof value !== 'object' || value === null) return undefined;
  return Object.entries(value).find(([key]) => key === name)?.[1];
}
