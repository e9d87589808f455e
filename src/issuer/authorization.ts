/**
 * Sign-in with the development issuer: the authorization code flow (RFC 6749 section 4.1) with PKCE
 * (RFC 7636). Whoever asks chooses one of the sample people.
 */
import { createHash, randomBytes } from 'node:crypto';
import { escapeHtml } from '../lib/http/answer.js';
import { isLoopback } from '../model/address.js';
import type { Clock } from '../model/clock.js';
import { findPerson, people } from './tokens.js';

export interface AuthorizedPerson {
  readonly user: string;
  readonly nonce: string | undefined;
}

export interface AuthorizationOptions {
  readonly clientId: string;
  readonly clock: Clock;
  tokens(person: AuthorizedPerson): Promise<GivenTokens>;
}

export interface GivenTokens {
  readonly accessToken: string;
  readonly idToken: string;
  readonly ttlMs: number;
}

interface Grant extends AuthorizedPerson {
  readonly redirectUri: string;
  /** S256 of the verifier. */
  readonly challenge: string;
  readonly goodUntilMs: number;
}

const CODE_TTL_MS = 60_000;
const MAX_CODES = 1000;

export class Authorization {
  readonly #options: AuthorizationOptions;
  readonly #grants = new Map<string, Grant>();

  constructor(options: AuthorizationOptions) {
    this.#options = options;
  }

  /** Shows who there is; with `user` it goes back to the application with a code. */
  authorize(query: URLSearchParams): Answer {
    const target = redirectTarget(query.get('redirect_uri'));
    if (!target) {
      return text(400, 'redirect_uri must be an http URL with a loopback address or localhost');
    }
    const challenge = query.get('code_challenge');
    if (query.get('client_id') !== this.#options.clientId) {
      return text(400, `client_id must be ${this.#options.clientId}`);
    }
    const state = query.get('state');
    if (state !== null) target.searchParams.set('state', state);
    if (query.get('response_type') !== 'code') {
      target.searchParams.set('error', 'unsupported_response_type');
      return redirect(target);
    }
    if (!challenge || query.get('code_challenge_method') !== 'S256') {
      target.searchParams.set('error', 'invalid_request');
      target.searchParams.set('error_description', 'code_challenge with S256 is needed');
      return redirect(target);
    }
    const user = query.get('user');
    if (user === null) return choicePage('/authorize', query);
    if (!findPerson(user)) {
      target.searchParams.set('error', 'access_denied');
      return redirect(target);
    }
    const code = this.#grant({
      user,
      nonce: query.get('nonce') ?? undefined,
      redirectUri: query.get('redirect_uri') ?? '',
      challenge,
      goodUntilMs: this.#options.clock.now() + CODE_TTL_MS,
    });
    target.searchParams.set('code', code);
    return redirect(target);
  }

  /** The token endpoint, for a code. It serves once. */
  async exchange(form: URLSearchParams): Promise<Answer> {
    const code = form.get('code') ?? '';
    const grant = this.#grants.get(code);
    this.#grants.delete(code);
    const challenge = createHash('sha256')
      .update(form.get('code_verifier') ?? '')
      .digest('base64url');
    if (
      !grant ||
      grant.goodUntilMs <= this.#options.clock.now() ||
      form.get('redirect_uri') !== grant.redirectUri ||
      form.get('client_id') !== this.#options.clientId ||
      challenge !== grant.challenge
    ) {
      return json({ error: 'invalid_grant' }, 400);
    }
    const { accessToken, idToken, ttlMs } = await this.#options.tokens(grant);
    return json({
      access_token: accessToken,
      id_token: idToken,
      token_type: 'Bearer',
      expires_in: Math.ceil(ttlMs / 1000),
      scope: 'openid',
    });
  }

  #grant(grant: Grant): string {
    const now = this.#options.clock.now();
    for (const [code, { goodUntilMs }] of this.#grants) {
      if (goodUntilMs <= now || this.#grants.size >= MAX_CODES) this.#grants.delete(code);
    }
    const code = randomBytes(24).toString('base64url');
    this.#grants.set(code, grant);
    return code;
  }
}

/** Any port, as for native applications (RFC 8252 section 7.3). */
function redirectTarget(uri: string | null): URL | undefined {
  if (uri === null || !URL.canParse(uri)) return undefined;
  const target = new URL(uri);
  return target.protocol === 'http:' && isLoopback(target.hostname) ? target : undefined;
}

// The development issuer's page on which one chooses who to be.

const style = `
  :root { color-scheme: light dark; font: 16px/1.5 system-ui, sans-serif; }
  body { max-width: 26rem; margin: 12vh auto; padding: 0 1rem; }
  ul { list-style: none; padding: 0; }
  a { display: block; padding: .6rem 1rem; margin: .5rem 0; border: 1px solid #8888;
      border-radius: .4rem; color: inherit; text-decoration: none; }
  a:hover, a:focus-visible { border-color: currentColor; }
  small { display: block; opacity: .75; }
`;
const styleHash = createHash('sha256').update(style).digest('base64');

/** Links that repeat the request of `query` with one of the people; with `refuse`, also with nobody. */
export function choicePage(
  path: string,
  query: URLSearchParams,
  { refuse = false }: { readonly refuse?: boolean } = {},
): Answer {
  const link = (user: string, name: string, about: string) => {
    const chosen = new URLSearchParams(query);
    chosen.set('user', user);
    const href = escapeHtml(`${path}?${chosen.toString()}`);
    return `<li><a href="${href}">${escapeHtml(name)}<small>${escapeHtml(about)}</small></a></li>`;
  };
  const links = people.map(({ user, groups }) => link(user, user, groups.join(', ')));
  if (refuse) links.push(link('', 'nobody', 'refuses it'));
  return page(
    'Sign in as',
    `<p>These are the sample people of the development issuer. It asks for no password.</p>
<ul>${links.join('')}</ul>`,
  );
}

/** `body` is HTML. */
export function page(title: string, body: string): Answer {
  return {
    status: 200,
    headers: {
      'content-type': 'text/html; charset=utf-8',
      'content-security-policy': `default-src 'none'; style-src 'sha256-${styleHash}'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'`,
    },
    body: `<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>${escapeHtml(title)}</title>
<style>${style}</style>
<h1>${escapeHtml(title)}</h1>
${body}
</html>
`,
  };
}

/** What the development issuer answers with. */
export interface Answer {
  readonly status: number;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: string;
}

export function json(value: unknown, status = 200): Answer {
  return {
    status,
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify(value),
  };
}

export function text(status: number, body: string): Answer {
  return { status, headers: { 'content-type': 'text/plain' }, body: `${body}\n` };
}

function redirect(location: URL): Answer {
  return { status: 302, headers: { location: location.href }, body: '' };
}
