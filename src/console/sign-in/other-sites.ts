/** Requests that a page of another site makes in the name of whoever is signed in. */
import type { IdentifiableRequest } from '../../model/administration.js';
import { GatewayError } from '../../model/errors.js';

/**
 * Rejects with CROSS_SITE_REQUEST unless the browser says that our own page makes the request:
 * https://www.w3.org/TR/fetch-metadata/ and RFC 6454.
 */
export function refuseOtherSites({ headers }: IdentifiableRequest, publicUrl: URL): void {
  const { origin } = headers;
  const site = headers['sec-fetch-site'];
  const sameOrigin = origin === undefined || origin === publicUrl.origin;
  const sameSite = site === undefined || site === 'same-origin';
  if (sameOrigin && sameSite && (origin !== undefined || site !== undefined)) return;
  throw new GatewayError(
    'CROSS_SITE_REQUEST',
    `With a cookie, this request is answered to pages of ${publicUrl.origin} only.`,
  );
}
