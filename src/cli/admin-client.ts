/** Asks the admin API. */
import { readFile } from 'node:fs/promises';
import { request as requestHttp, type IncomingMessage } from 'node:http';
import { request as requestHttps } from 'node:https';
import { GatewayError, isErrorCode, reasonOf } from '../model/errors.js';
import type { AdminApi, ServerSentEvent } from './command.js';

export interface AdminClientOptions {
  readonly gateway: Gateway;
  /** Asked for each request, as a token may end while a command goes on; undefined: asks without one. */
  readonly token: () => Promise<string | undefined>;
}

export interface Gateway {
  /** Where the control plane answers. */
  readonly url: URL;
  /** PEM; undefined: the authorities that Node knows. */
  readonly ca: string | undefined;
}

const TIMEOUT_MS = 30_000;
/** No answer comes near this size. */
const MAX_ANSWER_BYTES = 256 * 1024 * 1024;

export class AdminClient implements AdminApi {
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

  async *events(path: string, lastId: string | undefined): AsyncGenerator<ServerSentEvent, void> {
    const { url, ca } = this.#options.gateway;
    const token = await this.#options.token();
    const target = new URL(`api/v1/${path}`, url.href.endsWith('/') ? url : `${url.href}/`);
    const response = await open(target, {
      method: 'GET',
      headers: {
        accept: 'text/event-stream',
        ...(token === undefined ? {} : { authorization: `Bearer ${token}` }),
        ...(lastId === undefined ? {} : { 'last-event-id': lastId }),
      },
      body: undefined,
      ca,
    });
    if (response.statusCode !== 200) {
      const { status, text } = await read(response);
      throw refusal(target, status, parsed(text));
    }
    yield* eventsIn(response);
  }

  async #ask<T>(
    method: string,
    path: string,
    body: { readonly type: string; readonly text: string } | undefined,
  ): Promise<T> {
    const { url, ca } = this.#options.gateway;
    const token = await this.#options.token();
    const target = new URL(`api/v1/${path}`, url.href.endsWith('/') ? url : `${url.href}/`);
    const { status, text } = await exchange(target, {
      method,
      headers: {
        accept: 'application/json',
        ...(token === undefined ? {} : { authorization: `Bearer ${token}` }),
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

interface HttpRequest {
  readonly method: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: string | undefined;
  readonly ca: string | undefined;
}

/** One request. Rejects with ADMIN_API_UNREACHABLE when no answer comes. */
async function exchange(url: URL, options: HttpRequest): Promise<HttpAnswer> {
  const response = await open(url, options);
  try {
    return await read(response);
  } catch (error) {
    throw unreachable(url, error instanceof Error ? error : new Error(String(error)));
  }
}

/** An answer that begins. */
function open(url: URL, { method, headers, body, ca }: HttpRequest): Promise<IncomingMessage> {
  return new Promise((resolve, reject) => {
    const answered = resolve;
    const fail = (error: Error) => reject(unreachable(url, error));
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
    `${url.origin} cannot be reached: ${why}. Does the gateway run there? --server, ${ADMIN_VARIABLE} (for jobs ${PLAYGROUND_VARIABLE}) or the settings say where.`,
    { cause },
  );
}

/** Whole events; one that is cut off is left out. */
async function* eventsIn(response: IncomingMessage): AsyncGenerator<ServerSentEvent, void> {
  let text = '';
  response.setEncoding('utf8');
  try {
    for await (const chunk of response as AsyncIterable<string>) {
      text += chunk;
      for (let end = text.indexOf('\n\n'); end >= 0; end = text.indexOf('\n\n')) {
        const lines = text.slice(0, end).split('\n');
        text = text.slice(end + 2);
        const valueOf = (name: string) =>
          lines.find((line) => line.startsWith(`${name}: `))?.slice(name.length + 2);
        const data = valueOf('data');
        if (data !== undefined) yield { name: valueOf('event') ?? '', id: valueOf('id'), data };
      }
    }
  } catch {
    // It breaks as it ends.
  }
}

/** What the gateway says of itself, or that whatever answered is none. */
function refusal(url: URL, status: number, answer: unknown): GatewayError {
  const error = field(answer, 'error');
  // The Playground's refusals are RFC 9457's.
  const code = field(error, 'code') ?? field(answer, 'code');
  const message = field(error, 'message') ?? field(answer, 'detail');
  if (typeof code === 'string' && typeof message === 'string') {
    return new GatewayError(isErrorCode(code) ? code : 'ADMIN_API_REFUSED', message);
  }
  return new GatewayError(
    'ADMIN_API_UNREACHABLE',
    `${url.origin} answers with status ${status} and not as a gateway of this release does. Check --server, ${ADMIN_VARIABLE}, or for jobs ${PLAYGROUND_VARIABLE}.`,
  );
}

function field(value: unknown, name: string): unknown {
  if (typeof value !== 'object' || value === null) return undefined;
  return Object.entries(value).find(([key]) => key === name)?.[1];
}

// Which gateway is asked, and as whom.

export const ADMIN_VARIABLE = 'SPARK_GATEWAY_ADMIN_URL';
export const PLAYGROUND_VARIABLE = 'SPARK_GATEWAY_PLAYGROUND_URL';
const TOKEN_VARIABLE = 'SPARK_GATEWAY_TOKEN';

/** The person of the development issuer that asks, where nobody is named. */
const DEVELOPER = 'alice';

export interface ConnectionOptions {
  /** Of the command line, by name. */
  readonly options: ReadonlyMap<string, string>;
  readonly env: Readonly<Record<string, string | undefined>>;
  /** The variable that names the server; that of the control plane where it is left out. */
  readonly urlVariable?: string;
  /** `admin.listen_addr` of the settings, as this machine reaches it, or playground.listen_addr. */
  readonly settingsUrl: string;
  /** Of the development issuer, where the settings enable it. */
  readonly issuerUrl: string | undefined;
  /** Somebody named the settings, so that they are not those of another gateway. */
  readonly settingsNamed: boolean;
  /** The token of who has logged in to a gateway; undefined: nobody has. */
  readonly login: (gateway: URL) => Promise<string | undefined>;
}

/** Rejects with ARGUMENT_INVALID, TOKEN_MISSING or ADMIN_API_UNREACHABLE, or as `login` does. */
export async function connect(connection: ConnectionOptions): Promise<AdminClient> {
  const gateway = await gatewayOf(connection);
  return new AdminClient({ gateway, token: await tokenOf(connection, gateway.url) });
}

/** Which gateway is meant. Rejects with ARGUMENT_INVALID. */
export async function gatewayOf({
  options,
  env,
  urlVariable = ADMIN_VARIABLE,
  settingsUrl,
}: Pick<ConnectionOptions, 'options' | 'env' | 'urlVariable' | 'settingsUrl'>): Promise<Gateway> {
  const caFile = options.get('ca-file');
  const ca = caFile === undefined ? undefined : await contentOf(caFile, '--ca-file');
  const named = serverNamed({ options, env, urlVariable });
  return { url: urlOf(named || settingsUrl, urlVariable), ca };
}

function serverNamed({
  options,
  env,
  urlVariable = ADMIN_VARIABLE,
}: Pick<ConnectionOptions, 'options' | 'env' | 'urlVariable'>) {
  return options.get('server') ?? env[urlVariable];
}

function urlOf(text: string, variable: string): URL {
  const url = URL.canParse(text) ? new URL(text) : undefined;
  if (url && (url.protocol === 'https:' || url.protocol === 'http:')) return url;
  throw new GatewayError(
    'ARGUMENT_INVALID',
    `--server or ${variable} must be a URL such as https://gateway.example.com or http://127.0.0.1:9090, not ${JSON.stringify(text)}`,
  );
}

async function tokenOf(
  connection: ConnectionOptions,
  gateway: URL,
): Promise<() => Promise<string>> {
  const { options, env, issuerUrl, settingsNamed, login } = connection;
  const file = options.get('token-file');
  const person = options.get('as');
  const given = file === undefined ? env[TOKEN_VARIABLE] : await contentOf(file, '--token-file');
  if (given !== undefined && given.trim() !== '' && person === undefined) {
    return async () => given.trim();
  }
  if (person === undefined && (await login(gateway)) !== undefined) {
    return async () => (await login(gateway)) ?? Promise.reject(nobody());
  }
  // A gateway elsewhere does not know this machine's development issuer.
  if (
    issuerUrl !== undefined &&
    (person !== undefined || settingsNamed || !serverNamed(connection))
  ) {
    const token = await developmentToken(issuerUrl, person ?? DEVELOPER);
    return async () => token;
  }
  throw nobody();
}

function nobody(): GatewayError {
  return new GatewayError(
    'TOKEN_MISSING',
    `Say who you are: run spark-gateway login, or put a token into ${TOKEN_VARIABLE}, or into a file named by --token-file.`,
  );
}

async function developmentToken(issuerUrl: string, person: string): Promise<string> {
  const { status, text } = await exchange(
    new URL(`${issuerUrl}/token?user=${encodeURIComponent(person)}`),
    { method: 'GET', headers: {}, body: undefined, ca: undefined },
  );
  if (status === 200) return text.trim();
  throw new GatewayError('TOKEN_MISSING', `The development issuer gives no token: ${text.trim()}`);
}

async function contentOf(file: string, option: string): Promise<string> {
  try {
    return await readFile(file, 'utf8');
  } catch (error) {
    const why = reasonOf(error);
    throw new GatewayError('ARGUMENT_INVALID', `${option} ${file} cannot be read: ${why}`, {
      cause: error,
    });
  }
}
