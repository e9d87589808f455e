/** Cookies, RFC 6265bis: those of a request, and the headers that set them. */

export interface CookieScope {
  /** Sent over https only. */
  readonly secure: boolean;
  readonly path: string;
}

/** Browsers keep at least 4,096 bytes for each cookie, with its name and attributes. */
const PIECE_LENGTH = 3_500;
/** 16 KiB of token, sealed, and less than a server's headers may have. */
const MAX_PIECES = 6;

/** By name; of several of one name the first counts, which has the most specific path. */
export function cookiesOf(header: string | readonly string[] | undefined): Map<string, string> {
  const cookies = new Map<string, string>();
  const text = typeof header === 'string' ? header : (header ?? []).join('; ');
  for (const pair of text.split(';')) {
    const at = pair.indexOf('=');
    const name = pair.slice(0, Math.max(at, 0)).trim();
    if (name !== '' && !cookies.has(name)) cookies.set(name, pair.slice(at + 1).trim());
  }
  return cookies;
}

/** `set-cookie` headers for a value that may be too long for one cookie. undefined: it is too long for all. */
export function setInPieces(
  name: string,
  value: string,
  scope: CookieScope,
  maxAgeMs: number,
): string[] | undefined {
  const count = Math.ceil(value.length / PIECE_LENGTH);
  if (count > MAX_PIECES) return undefined;
  return Array.from({ length: MAX_PIECES }, (_, at) => {
    const piece = value.slice(at * PIECE_LENGTH, (at + 1) * PIECE_LENGTH);
    return setCookie(pieceName(name, at), piece, scope, at < count ? maxAgeMs : 0);
  });
}

export function joinPieces(name: string, cookies: ReadonlyMap<string, string>): string | undefined {
  let joined = '';
  for (let at = 0; at < MAX_PIECES; at += 1) {
    const piece = cookies.get(pieceName(name, at));
    if (!piece) break;
    joined += piece;
  }
  return joined === '' ? undefined : joined;
}

export function clearPieces(name: string, scope: CookieScope): string[] {
  return Array.from({ length: MAX_PIECES }, (_, at) =>
    setCookie(pieceName(name, at), '', scope, 0),
  );
}

/** Lax: sent when a link or an issuer leads here, never with a request that another site makes. */
export function setCookie(
  name: string,
  value: string,
  { secure, path }: CookieScope,
  maxAgeMs: number,
): string {
  const maxAge = Math.max(0, Math.floor(maxAgeMs / 1000));
  return `${name}=${value}; Path=${path}; Max-Age=${maxAge}; HttpOnly; SameSite=Lax${secure ? '; Secure' : ''}`;
}

function pieceName(name: string, at: number): string {
  return at === 0 ? name : `${name}.${at}`;
}
