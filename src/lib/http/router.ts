/** Finds the handler of a request. */
import type { IncomingHttpHeaders, IncomingMessage } from 'node:http';
import { GatewayError } from '../../model/errors.js';
import { isObject } from '../../model/json.js';
import type { Answer } from './answer.js';

export type Handler = (exchange: Exchange) => Answer | Promise<Answer>;

/** By `METHOD /path/{parameter}`; a parameter is one whole segment. */
export type Routes = Readonly<Record<string, Handler>>;

interface Route {
  /** As in `Routes`. */
  readonly pattern: string;
  readonly method: string;
  readonly segments: readonly string[];
  readonly handler: Handler;
}

export type Match =
  | {
      readonly kind: 'found';
      readonly handler: Handler;
      readonly pattern: string;
      readonly parameters: Readonly<Record<string, string>>;
    }
  /** The path is known, the method is not. */
  | { readonly kind: 'other methods'; readonly allowed: readonly string[] }
  | { readonly kind: 'unknown' };

export class Router {
  readonly #routes: readonly Route[];

  constructor(routes: Routes) {
    this.#routes = Object.entries(routes).map(([pattern, handler]) => {
      const [method = '', path = ''] = pattern.split(' ');
      return { pattern, method, segments: path.split('/'), handler };
    });
  }

  /** `path` as it came, percent-encoded. HEAD finds what GET does. A route without parameters goes before one with. */
  match(method: string, path: string): Match {
    const segments = path.split('/');
    const fitting = this.#routes.flatMap((route) => {
      const parameters = parametersOf(route.segments, segments);
      return parameters ? [{ route, parameters }] : [];
    });
    if (fitting.length === 0) return { kind: 'unknown' };
    const wanted = method === 'HEAD' ? 'GET' : method;
    const found = fitting
      .filter(({ route }) => route.method === wanted)
      .toSorted((a, b) => Object.keys(a.parameters).length - Object.keys(b.parameters).length)[0];
    if (!found) {
      return { kind: 'other methods', allowed: fitting.map(({ route }) => route.method) };
    }
    const { handler, pattern } = found.route;
    return { kind: 'found', handler, pattern, parameters: found.parameters };
  }
}

function parametersOf(
  pattern: readonly string[],
  segments: readonly string[],
): Record<string, string> | undefined {
  if (pattern.length !== segments.length) return undefined;
  const parameters: Record<string, string> = {};
  for (const [at, expected] of pattern.entries()) {
    const segment = segments[at] ?? '';
    if (!expected.startsWith('{')) {
      if (segment !== expected) return undefined;
      continue;
    }
    const value = decoded(segment);
    if (value === undefined || value === '') return undefined;
    parameters[expected.slice(1, -1)] = value;
  }
  return parameters;
}

function decoded(segment: string): string | undefined {
  try {
    return decodeURIComponent(segment);
  } catch {
    return undefined;
  }
}

// One HTTP request, as handlers see it.

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
  /** The whole body, of 1 MiB at most unless `maxBytes` says more. Rejects with HTTP_BODY_TOO_LARGE or, when the client went, with REQUEST_UNREADABLE. */
  body(maxBytes?: number): Promise<Buffer>;
}

/** Bodies beyond it are refused, bytes. */
export const MAX_BODY_BYTES = 1024 * 1024;

export async function readBody(
  request: IncomingMessage,
  maxBytes = MAX_BODY_BYTES,
): Promise<Buffer> {
  const tooLarge = () =>
    new GatewayError(
      'HTTP_BODY_TOO_LARGE',
      `The body of the request is larger than ${maxBytes} bytes.`,
    );
  if (Number(request.headers['content-length'] ?? 0) > maxBytes) throw tooLarge();
  const chunks: Buffer[] = [];
  let length = 0;
  try {
    for await (const chunk of request as AsyncIterable<Buffer>) {
      length += chunk.length;
      if (length > maxBytes) throw tooLarge();
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

/** The fields of a body that holds a JSON object, or nothing. Throws ARGUMENT_INVALID for any other and for fields that are not among `names`. */
export function jsonBody<Name extends string>(
  body: Buffer,
  names: readonly Name[],
): Partial<Record<Name, unknown>> {
  const text = body.toString('utf8');
  if (text.trim() === '') return {};
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (error) {
    throw new GatewayError('ARGUMENT_INVALID', 'The body is not JSON.', { cause: error });
  }
  const fields: Partial<Record<Name, unknown>> = {};
  for (const [key, field] of isObject(value) ? Object.entries(value) : [['', undefined]]) {
    const name = names.find((known) => known === key);
    if (name === undefined) {
      throw new GatewayError(
        'ARGUMENT_INVALID',
        `The body may hold ${names.map((known) => `"${known}"`).join(', ')} and nothing else.`,
      );
    }
    fields[name] = field;
  }
  return fields;
}
