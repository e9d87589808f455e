/** The view that an address names. */
export type Route =
  /** The editor, and beside it the job, if there is one. */
  | { readonly view: 'workbench'; readonly job: string | undefined }
  | { readonly view: 'jobs'; readonly query: URLSearchParams }
  | { readonly view: 'unknown' };

export function routeOf(pathname: string, search: string): Route {
  if (pathname === '/') return { view: 'workbench', job: undefined };
  if (pathname === '/jobs') return { view: 'jobs', query: new URLSearchParams(search) };
  const [, kind, id, more] = pathname.split('/');
  return kind === 'jobs' && id && more === undefined
    ? { view: 'workbench', job: decoded(id) }
    : { view: 'unknown' };
}

export function jobPath(id: string): string {
  return `/jobs/${encodeURIComponent(id)}`;
}

function decoded(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}
