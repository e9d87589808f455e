/** The view that an address names. */

export type ViewName =
  | 'overview'
  | 'sessions'
  | 'session'
  | 'drivers'
  | 'driver'
  | 'pools'
  | 'pool'
  | 'envoys'
  | 'policy'
  | 'history'
  | 'explain'
  | 'try'
  | 'tried out'
  | 'activity'
  | 'unknown';

export interface Route {
  readonly view: ViewName;
  /** What the view is about: a session's id, a driver's uid, a pool's namespace; else empty. */
  readonly id: string;
  readonly query: URLSearchParams;
}

const fixed: Readonly<Record<string, ViewName>> = {
  '/': 'overview',
  '/sessions': 'sessions',
  '/drivers': 'drivers',
  '/pools': 'pools',
  '/envoys': 'envoys',
  '/policy': 'policy',
  '/policy/history': 'history',
  '/policy/explain': 'explain',
  '/policy/try': 'try',
  '/policy/shadow': 'tried out',
  '/activity': 'activity',
};

const details: Readonly<Record<string, ViewName>> = {
  sessions: 'session',
  drivers: 'driver',
  pools: 'pool',
};

export function routeOf(pathname: string, search: string): Route {
  const query = new URLSearchParams(search);
  const view = fixed[pathname];
  if (view) return { view, id: '', query };
  const [, kind = '', id, more] = pathname.split('/');
  const detail = Object.hasOwn(details, kind) ? details[kind] : undefined;
  return detail && id && more === undefined
    ? { view: detail, id: decoded(id), query }
    : { view: 'unknown', id: '', query };
}

export function sessionPath(id: string): string {
  return `/sessions/${encodeURIComponent(id)}`;
}

export function driverPath(uid: string): string {
  return `/drivers/${encodeURIComponent(uid)}`;
}

export function poolPath(namespace: string): string {
  return `/pools/${encodeURIComponent(namespace)}`;
}

function decoded(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}
