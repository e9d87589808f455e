/** Finds the handler of a request. */
import type { Answer } from './answer.js';
import type { Exchange } from './exchange.js';

export type Handler = (exchange: Exchange) => Answer | Promise<Answer>;

/** By `METHOD /path/{parameter}`; a parameter is one whole segment. */
export type Routes = Readonly<Record<string, Handler>>;

interface Route {
  readonly method: string;
  readonly segments: readonly string[];
  readonly handler: Handler;
}

export type Match =
  | {
      readonly kind: 'found';
      readonly handler: Handler;
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
      return { method, segments: path.split('/'), handler };
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
    return { kind: 'found', handler: found.route.handler, parameters: found.parameters };
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
