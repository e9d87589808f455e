/**
 * The Kubernetes API as JSON over HTTPS. `KubeConfig` says where the API server is and proves who
 * we are; requests and watches are made here, because a fleet of thousands of pods is read far more
 * cheaply as plain JSON than through generated classes.
 */
import type { IncomingMessage } from 'node:http';
import { Agent, type RequestOptions } from 'node:https';
import { setTimeout as pause } from 'node:timers/promises';
import type { KubeConfig } from '@kubernetes/client-node';
import {
  KubernetesError,
  errorOfStatus,
  isLater,
  asKubernetesError,
  exchange,
  limit,
  readAll,
  TCP_KEEPALIVE_MS,
  jsonLines,
  textLines,
} from './http.js';

export type Query = Readonly<Record<string, string | number | boolean | undefined>>;

export interface ApiRequest {
  readonly method?: 'GET' | 'POST' | 'PUT' | 'PATCH' | 'DELETE';
  readonly path: string;
  readonly query?: Query;
  readonly body?: unknown;
  /** Of the body; a PATCH says here which kind it is. */
  readonly contentType?: string;
  /** Gives up after this long. The API server is told, so that it gives up as well. */
  readonly timeoutMs?: number;
  readonly signal?: AbortSignal;
}

export interface WatchRequest {
  readonly path: string;
  readonly query: Query;
  readonly signal: AbortSignal;
  /** The watch fails when nothing, not even a bookmark, came for this long. */
  readonly silenceMs: number;
  /** Called when the API server has accepted the watch. */
  readonly onOpen?: () => void;
}

export interface WatchEvent {
  readonly type: string;
  readonly object: unknown;
}

export const JSON_PATCH = 'application/json-patch+json';
export const MERGE_PATCH = 'application/merge-patch+json';

const DEFAULT_TIMEOUT_MS = 10_000;

/** `event`: or a bookmark. `expired`: too far behind (410), in an answer or an ERROR event. */
export type WatchNote = 'opened' | 'event' | 'expired' | 'broken';

export interface KubernetesApiOptions {
  /** Sent with every request, so that the API server's audit log tells who asks. */
  readonly userAgent?: string;
  /** Called for every request and watch: its path has no query, its status is 0 without an answer. */
  readonly onRequest?: (method: string, path: string, status: number) => void;
  /** Called with what becomes of every watch; one that its caller ends is not `broken`. */
  readonly onWatch?: (
    note: WatchNote,
    watch: Pick<WatchRequest, 'path' | 'query'> & {
      /** The API server's URL. */
      readonly server: string;
    },
  ) => void;
}

export class KubernetesApi {
  readonly #config: KubeConfig;
  readonly #options: KubernetesApiOptions;
  readonly #base: string;
  #agent: { readonly agent: Agent; readonly credentials: string } | undefined;
  #closed = false;

  constructor(config: KubeConfig, options: KubernetesApiOptions = {}) {
    const cluster = config.getCurrentCluster();
    if (!cluster) throw new KubernetesError(0, 'NoCluster', 'The kubeconfig names no cluster.');
    this.#config = config;
    this.#options = options;
    this.#base = cluster.server.replace(/\/$/, '');
  }

  /**
   * Resolves with the answer's JSON. Rejects with KubernetesError. Where the API server sheds load, the
   * request is made again after the pause that it asks for, as long as its time lasts.
   */
  async request<T>(request: ApiRequest): Promise<T> {
    const { timeoutMs = DEFAULT_TIMEOUT_MS } = request;
    const endMs = performance.now() + timeoutMs;
    for (;;) {
      const leftMs = endMs - performance.now();
      try {
        return await this.#requestOnce<T>({ ...request, timeoutMs: Math.ceil(leftMs) });
      } catch (error) {
        if (!isLater(error)) throw error;
        // Not all at once: others were told the same.
        const pauseMs = (error.retryAfterMs ?? 0) * (1 + Math.random() / 4);
        if (performance.now() + pauseMs >= endMs) throw error;
        await pause(pauseMs, undefined, { signal: request.signal }).catch(() => {
          throw error;
        });
      }
    }
  }

  async #requestOnce<T>(request: ApiRequest & { readonly timeoutMs: number }): Promise<T> {
    const method = request.method ?? 'GET';
    const what = `${method} ${request.path}`;
    const { timeoutMs } = request;
    const time = limit(timeoutMs, request.signal);
    try {
      const query =
        method === 'GET' ? request.query : { ...request.query, timeout: `${timeoutMs}ms` };
      const response = await this.#send({ ...request, method, query: query ?? {} }, time.signal);
      const text = await readAll(response, what);
      const status = response.statusCode ?? 0;
      if (status < 200 || status > 299) {
        throw errorOfStatus(status, parse(text), what, response.headers['retry-after']);
      }
      try {
        const value: T = JSON.parse(text);
        return value;
      } catch {
        throw new KubernetesError(status, 'NotJson', `${what}: the answer is not JSON.`);
      }
    } finally {
      time.clear();
    }
  }

  /** Yields the events of a watch until the API server ends it. Throws KubernetesError, also for an ERROR event. */
  async *watch(request: WatchRequest): AsyncGenerator<WatchEvent, void> {
    const { path, query, signal } = request;
    const note = (what: WatchNote) =>
      this.#options.onWatch?.(what, { server: this.#base, path, query });
    const onOpen = () => {
      note('opened');
      request.onOpen?.();
    };
    try {
      for await (const event of this.#events({ ...request, onOpen })) {
        note('event');
        yield event;
      }
    } catch (error) {
      if (!signal.aborted) {
        note(error instanceof KubernetesError && error.isExpired ? 'expired' : 'broken');
      }
      throw error;
    }
  }

  async *#events(request: WatchRequest): AsyncGenerator<WatchEvent, void> {
    const { path, signal, silenceMs } = request;
    const what = `WATCH ${path}`;
    const query = { ...request.query, watch: true, allowWatchBookmarks: true };
    const time = limit(DEFAULT_TIMEOUT_MS, signal);
    const response = await this.#send({ method: 'GET', path, query }, time.signal).finally(() =>
      time.clear(),
    );
    const abort = () => response.destroy(new Error('the watch was ended'));
    signal.addEventListener('abort', abort, { once: true });
    response.setTimeout(silenceMs, () =>
      response.destroy(new Error(`nothing came for ${silenceMs} ms`)),
    );
    try {
      if (signal.aborted) abort();
      const status = response.statusCode ?? 0;
      if (status !== 200) {
        const body = parse(await readAll(response, what));
        throw errorOfStatus(status, body, what, response.headers['retry-after']);
      }
      request.onOpen?.();
      for await (const line of jsonLines(response)) {
        const event = parse(line);
        if (!isWatchEvent(event))
          throw new KubernetesError(0, 'NotJson', `${what}: an event is not JSON.`);
        if (event.type === 'ERROR') throw errorOfStatus(500, event.object, what);
        yield event;
      }
    } catch (error) {
      throw asKubernetesError(error, what);
    } finally {
      signal.removeEventListener('abort', abort);
      response.destroy();
    }
  }

  /**
   * Yields the lines of a text, such as a pod's log, as they come. Throws KubernetesError; with reason
   * `Silent` when no line came for `silenceMs`. A line is cut at `longestLine` bytes.
   */
  async *lines(request: {
    readonly path: string;
    readonly query: Query;
    readonly signal: AbortSignal;
    readonly silenceMs: number;
    readonly longestLine: number;
  }): AsyncGenerator<string, void> {
    const { path, query, signal, silenceMs, longestLine } = request;
    const what = `GET ${path}`;
    const time = limit(DEFAULT_TIMEOUT_MS, signal);
    const response = await this.#send({ method: 'GET', path, query }, time.signal).finally(() =>
      time.clear(),
    );
    const abort = () => response.destroy(new Error('the request was ended'));
    signal.addEventListener('abort', abort, { once: true });
    response.setTimeout(silenceMs, () =>
      response.destroy(
        new KubernetesError(0, 'Silent', `${what}: nothing came for ${silenceMs} ms`),
      ),
    );
    try {
      if (signal.aborted) abort();
      const status = response.statusCode ?? 0;
      // Of a pod without a node.
      if (status === 204) return;
      if (status !== 200) {
        const body = parse(await readAll(response, what));
        throw errorOfStatus(status, body, what, response.headers['retry-after']);
      }
      yield* textLines(response, longestLine);
    } catch (error) {
      throw asKubernetesError(error, what);
    } finally {
      signal.removeEventListener('abort', abort);
      response.destroy();
    }
  }

  /** Closes every connection; what is under way fails. */
  close(): void {
    this.#closed = true;
    this.#agent?.agent.destroy();
    this.#agent = undefined;
  }

  async #send(
    request: ApiRequest & { readonly method: string; readonly query: Query },
    signal: AbortSignal,
  ): Promise<IncomingMessage> {
    const { method, path } = request;
    const url = new URL(this.#base + path);
    for (const [name, value] of Object.entries(request.query)) {
      if (value !== undefined) url.searchParams.set(name, String(value));
    }
    const body = request.body === undefined ? undefined : JSON.stringify(request.body);
    try {
      const { agent, headers } = await this.#connection();
      if (body !== undefined) {
        headers['content-type'] = request.contentType ?? 'application/json';
        headers['content-length'] = String(Buffer.byteLength(body));
      }
      const response = await exchange(url, { method, agent, headers }, body, signal);
      this.#options.onRequest?.(method, path, response.statusCode ?? 0);
      return response;
    } catch (error) {
      this.#options.onRequest?.(method, path, 0);
      throw asKubernetesError(error, `${method} ${path}`);
    }
  }

  /** The way to the API server and our credentials, which may be renewed while we run. */
  async #connection(): Promise<{ agent: Agent; headers: Record<string, string> }> {
    if (this.#closed) throw new Error('the client was closed');
    const found: RequestOptions = {};
    await this.#config.applyToHTTPSOptions(found);
    const { ca, cert, key, pfx, passphrase, servername, rejectUnauthorized } = found;
    const tls = { ca, cert, key, pfx, passphrase, servername, rejectUnauthorized };
    const credentials = Object.values(tls).map(String).join('\u0000');
    if (this.#agent?.credentials !== credentials) {
      this.#agent?.agent.destroy();
      // A configured agent that is no plain one leads through a proxy.
      const proxied = found.agent instanceof Agent && found.agent.constructor !== Agent;
      this.#agent = {
        credentials,
        agent:
          proxied && found.agent instanceof Agent
            ? found.agent
            : new Agent({ keepAlive: true, keepAliveMsecs: TCP_KEEPALIVE_MS, ...given(tls) }),
      };
    }
    const headers = Object.fromEntries(
      Object.entries(found.headers ?? {}).map(([name, value]) => [name, String(value)]),
    );
    headers['accept'] = 'application/json';
    headers['user-agent'] = this.#options.userAgent ?? 'spark-gateway';
    return { agent: this.#agent.agent, headers };
  }
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

function isWatchEvent(value: unknown): value is WatchEvent {
  return (
    typeof value === 'object' &&
    value !== null &&
    'type' in value &&
    typeof value.type === 'string' &&
    'object' in value
  );
}

/** Without the options that are undefined, which `tls` would take for settings. */
function given<T extends object>(options: T): { [K in keyof T]?: Exclude<T[K], undefined> } {
  const entries = Object.entries(options).filter(([, value]) => value !== undefined);
  return Object.assign({}, ...entries.map(([name, value]) => ({ [name]: value })));
}
