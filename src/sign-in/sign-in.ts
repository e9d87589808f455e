/** Sign-in and sign-out of the people at a page. */
import { createHash } from 'node:crypto';
import type { Logger } from 'pino';
import type { Answer } from '../lib/http/answer.js';
import { notice, type Notice } from '../lib/http/assets.js';
import type { Exchange, Routes } from '../lib/http/router.js';
import type { Clock } from '../model/clock.js';
import { reasonOf, toGatewayError } from '../model/errors.js';
import { UnverifiedSample } from '../model/unverified-sample.js';
import type { Attempt, Provider } from './provider.js';
import {
  type CookieScope,
  cookiesOf,
  setCookie,
  refuseOtherSites,
  type Sealer,
  type SessionCookie,
} from './session-cookie.js';

export interface SignInOptions {
  readonly provider: Provider;
  readonly sealer: Sealer;
  readonly session: SessionCookie;
  readonly page: SignInPage;
  readonly publicUrl: URL;
  readonly clock: Clock;
  readonly logger: Logger;
}

/** The page that people sign in to. */
export interface SignInPage {
  /** In a sentence: `the console`. */
  readonly name: string;
  /** For the window's title. */
  readonly product: string;
  /** Of its session. */
  readonly cookie: string;
}

export const SIGN_IN_PATH = '/auth/sign-in';
export const CALLBACK_PATH = '/auth/callback';

const ATTEMPT_TTL_MS = 10 * 60_000;
const PURPOSE = 'attempt';

export function signInRoutes(options: SignInOptions): Routes {
  const { page, session, publicUrl, clock, logger } = options;
  const sample = new UnverifiedSample({
    clock,
    onOmitted: ({ kinds }) => logger.warn({ kinds }, 'further sign-ins did not succeed'),
  });
  return {
    [`GET ${SIGN_IN_PATH}`]: (exchange) => begin(options, sample, exchange),
    [`GET ${CALLBACK_PATH}`]: (exchange) => finish(options, sample, exchange),
    'POST /auth/sign-out': async (exchange) => {
      refuseOtherSites(exchange, publicUrl);
      return { status: 204, headers: { 'set-cookie': await session.end(exchange) }, body: '' };
    },
    'GET /auth/signed-out': () =>
      say(page, {
        title: 'Signed out',
        text: `You have left ${page.name}.`,
        link: signInLink('/'),
      }),
  };
}

async function begin(
  options: SignInOptions,
  sample: UnverifiedSample,
  { client, headers, query }: Exchange,
): Promise<Answer> {
  const { page, provider, sealer, publicUrl, clock, logger } = options;
  const returnTo = returnPath(query.get('return_to'), publicUrl);
  // Cookies are kept for each host apart, and the issuer leads back to the public one.
  if (headers.host !== publicUrl.host && !query.has('moved')) {
    const moved = new URLSearchParams({ return_to: returnTo, moved: '1' });
    return redirect(`${publicUrl.origin}${SIGN_IN_PATH}?${moved.toString()}`);
  }
  try {
    const { url, attempt } = await provider.begin();
    const goodUntilMs = clock.now() + ATTEMPT_TTL_MS;
    const sealed = await sealer.seal(PURPOSE, { ...attempt, returnTo }, goodUntilMs);
    const cookie = setCookie(
      attemptCookie(page, attempt.state, publicUrl),
      sealed,
      attemptScope(publicUrl),
      ATTEMPT_TTL_MS,
    );
    return redirect(url.href, [cookie]);
  } catch (error) {
    if (sample.take(client, 'issuer')) {
      logger.error({ reason: reasonOf(error) }, `the issuer of ${page.name} does not answer`);
    }
    return say(page, {
      status: 503,
      title: 'Sign-in is not possible now',
      text: 'The issuer with which people sign in does not answer. The log of the server says more.',
      link: signInLink(returnTo),
    });
  }
}

async function finish(
  options: SignInOptions,
  sample: UnverifiedSample,
  { client, headers, query }: Exchange,
): Promise<Answer> {
  const { page, provider, sealer, session, publicUrl, logger } = options;
  const name = attemptCookie(page, query.get('state') ?? '', publicUrl);
  const sealed = cookiesOf(headers.cookie).get(name);
  const kept = sealed === undefined ? undefined : await sealer.open(PURPOSE, sealed);
  const returnTo = returnPath(kept?.['returnTo'], publicUrl);
  const attempt = attemptOf(kept ?? {});
  if (!attempt) {
    return say(page, {
      status: 400,
      title: 'This sign-in is over',
      text: 'It was begun in another browser, more than ten minutes ago, or has been used.',
      link: signInLink('/'),
    });
  }
  const over = setCookie(name, '', attemptScope(publicUrl), 0);
  try {
    const token = await provider.finish(query, attempt);
    return redirect(returnTo, [over, ...(await session.begin(token))]);
  } catch (error) {
    const { code, message } = toGatewayError(error);
    // The error of a library may hold what the browser brought: codes, tokens.
    if (sample.take(client, code)) {
      logger.warn({ code, reason: reasonOf(error) }, `a sign-in to ${page.name} did not succeed`);
    }
    return say(page, {
      status: 403,
      title: 'The sign-in did not succeed',
      text:
        code === 'INTERNAL'
          ? 'The issuer refused it, or answered what does not fit. The log of the server says more.'
          : message,
      link: signInLink(returnTo),
      cookies: [over],
    });
  }
}

/** One for each attempt, so that two tabs do not end each other's. */
function attemptCookie({ cookie }: SignInPage, state: string, publicUrl: URL): string {
  const name = createHash('sha256').update(state).digest('hex').slice(0, 16);
  return `${isSecure(publicUrl) ? '__Host-' : ''}${cookie}-sign-in-${name}`;
}

function attemptScope(publicUrl: URL): CookieScope {
  // A name that begins with __Host- wants a cookie of the whole host (RFC 6265bis section 4.1.3.2):
  // no other host of the domain can set it.
  return isSecure(publicUrl) ? { secure: true, path: '/' } : { secure: false, path: CALLBACK_PATH };
}

function isSecure({ protocol }: URL): boolean {
  return protocol === 'https:';
}

function attemptOf(kept: Readonly<Record<string, unknown>>): Attempt | undefined {
  const { state, nonce, verifier } = kept;
  return typeof state === 'string' && typeof nonce === 'string' && typeof verifier === 'string'
    ? { state, nonce, verifier }
    : undefined;
}

function say({ product }: SignInPage, said: Omit<Notice, 'product'>): Answer {
  return notice({ ...said, product });
}

function signInLink(returnTo: string) {
  const query = new URLSearchParams({ return_to: returnTo });
  return { href: `${SIGN_IN_PATH}?${query.toString()}`, text: 'Sign in' };
}

function redirect(location: string, cookies: string[] = []): Answer {
  return { status: 303, headers: { location, 'set-cookie': cookies }, body: '' };
}

/** Where to go after the sign-in: a path of this page and nothing else. */
export function returnPath(wanted: unknown, publicUrl: URL): string {
  if (typeof wanted !== 'string' || !wanted.startsWith('/') || wanted.length > 1000) return '/';
  if (!URL.canParse(wanted, publicUrl.href)) return '/';
  // A browser reads //host and /\host as another host.
  const { origin, pathname, search } = new URL(wanted, publicUrl);
  return origin === publicUrl.origin && !pathname.startsWith('//') ? `${pathname}${search}` : '/';
}
