/** Where to go after the sign-in: a path of this console and nothing else. */
export function returnPath(wanted: unknown, publicUrl: URL): string {
  if (typeof wanted !== 'string' || !wanted.startsWith('/') || wanted.length > 1000) return '/';
  if (!URL.canParse(wanted, publicUrl.href)) return '/';
  // A browser reads //host and /\host as another host.
  const { origin, pathname, search } = new URL(wanted, publicUrl);
  return origin === publicUrl.origin && !pathname.startsWith('//') ? `${pathname}${search}` : '/';
}
