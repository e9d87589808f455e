/**
 * Login of a program without a browser with the development issuer: the device flow (RFC 8628), and renewal by refresh
 * tokens (RFC 6749 section 6), which serve once each. Whoever confirms a code chooses one of the sample people.
 */
import { randomBytes, randomInt } from 'node:crypto';
import { escapeHtml } from '../lib/http/answer.js';
import type { Clock } from '../model/clock.js';
import { type Answer, choicePage, json, page, type GivenTokens, text } from './authorization.js';
import { findPerson } from './tokens.js';

export interface DeviceAuthorizationOptions {
  /** Of the issuer. */
  readonly url: string;
  readonly clientId: string;
  readonly clock: Clock;
  tokens(person: { readonly user: string; readonly nonce: undefined }): Promise<GivenTokens>;
}

interface Login {
  readonly userCode: string;
  readonly isOffline: boolean;
  readonly goodUntilMs: number;
  /** undefined: nobody has chosen yet; null: it was refused. */
  user: string | null | undefined;
  askedAtMs: number | undefined;
  intervalMs: number;
}

export const DEVICE_GRANT = 'urn:ietf:params:oauth:grant-type:device_code';
/** RFC 8628 section 6.1: no vowels, nothing that looks like something else. */
const LETTERS = 'BCDFGHJKLMNPQRSTVWXZ';
const LOGIN_TTL_MS = 10 * 60_000;
const INTERVAL_MS = 1_000;
const SLOW_DOWN_MS = 5_000;
const REFRESH_TTL_MS = 30 * 24 * 3_600_000;
const MOST = 1000;
const OFFLINE = 'offline_access';

export class DeviceAuthorization {
  readonly #options: DeviceAuthorizationOptions;
  /** By device code. */
  readonly #logins = new Map<string, Login>();
  /** Users by refresh token. */
  readonly #refresh = new Map<string, { readonly user: string; readonly goodUntilMs: number }>();

  constructor(options: DeviceAuthorizationOptions) {
    this.#options = options;
  }

  /** The device authorization endpoint. */
  begin(form: URLSearchParams): Answer {
    const { url, clock } = this.#options;
    if (!this.#isOurs(form)) return json({ error: 'invalid_client' }, 400);
    forget(this.#logins, clock.now());
    const deviceCode = randomBytes(24).toString('base64url');
    const letters = Array.from({ length: 8 }, () => LETTERS[randomInt(LETTERS.length)] ?? '');
    const userCode = `${letters.slice(0, 4).join('')}-${letters.slice(4).join('')}`;
    this.#logins.set(deviceCode, {
      userCode,
      isOffline: (form.get('scope') ?? '').split(' ').includes(OFFLINE),
      goodUntilMs: clock.now() + LOGIN_TTL_MS,
      user: undefined,
      askedAtMs: undefined,
      intervalMs: INTERVAL_MS,
    });
    return json({
      device_code: deviceCode,
      user_code: userCode,
      verification_uri: `${url}/device`,
      verification_uri_complete: `${url}/device?user_code=${userCode}`,
      expires_in: LOGIN_TTL_MS / 1000,
      interval: INTERVAL_MS / 1000,
    });
  }

  /** What a person sees: who there is to choose from; with `user`, that it is done. */
  confirm(query: URLSearchParams): Answer {
    const code = (query.get('user_code') ?? '').toUpperCase();
    const now = this.#options.clock.now();
    const login = [...this.#logins.values()].find(
      ({ userCode, user, goodUntilMs }) =>
        userCode === code && user === undefined && goodUntilMs > now,
    );
    if (!login) return code === '' ? codePage() : text(404, `no login waits with the code ${code}`);
    const user = query.get('user');
    if (user === null) return choicePage('/device', query, { refuse: true });
    if (user !== '' && !findPerson(user)) return text(404, `there is no ${user}`);
    login.user = user === '' ? null : user;
    return page(
      user === '' ? 'Refused' : `Confirmed as ${user}`,
      '<p>The program that asked for it goes on; you may close this page.</p>',
    );
  }

  /** The token endpoint, for a device code. */
  async exchange(form: URLSearchParams): Promise<Answer> {
    const { clock } = this.#options;
    const code = form.get('device_code') ?? '';
    const login = this.#logins.get(code);
    if (!login || !this.#isOurs(form)) return json({ error: 'invalid_grant' }, 400);
    const { user, askedAtMs, goodUntilMs, isOffline } = login;
    const now = clock.now();
    if (goodUntilMs <= now) return json({ error: 'expired_token' }, 400);
    login.askedAtMs = now;
    if (user === undefined) {
      const isEarly = askedAtMs !== undefined && now - askedAtMs < login.intervalMs;
      if (isEarly) login.intervalMs += SLOW_DOWN_MS;
      return json({ error: isEarly ? 'slow_down' : 'authorization_pending' }, 400);
    }
    this.#logins.delete(code);
    if (user === null) return json({ error: 'access_denied' }, 400);
    return this.#give(user, isOffline);
  }

  /** The token endpoint, for a refresh token. */
  async renew(form: URLSearchParams): Promise<Answer> {
    const token = form.get('refresh_token') ?? '';
    const known = this.#refresh.get(token);
    this.#refresh.delete(token);
    if (!known || known.goodUntilMs <= this.#options.clock.now() || !this.#isOurs(form)) {
      return json({ error: 'invalid_grant' }, 400);
    }
    return this.#give(known.user, true);
  }

  /** The revocation endpoint (RFC 7009): access tokens are good until their end. */
  revoke(form: URLSearchParams): Answer {
    if (!this.#isOurs(form)) return json({ error: 'invalid_client' }, 400);
    this.#refresh.delete(form.get('token') ?? '');
    return { status: 200, headers: {}, body: '' };
  }

  #isOurs(form: URLSearchParams): boolean {
    return form.get('client_id') === this.#options.clientId;
  }

  async #give(user: string, isOffline: boolean): Promise<Answer> {
    const { accessToken, idToken, ttlMs } = await this.#options.tokens({ user, nonce: undefined });
    const now = this.#options.clock.now();
    const refreshToken = randomBytes(24).toString('base64url');
    forget(this.#refresh, now);
    if (isOffline) this.#refresh.set(refreshToken, { user, goodUntilMs: now + REFRESH_TTL_MS });
    return json({
      access_token: accessToken,
      id_token: idToken,
      token_type: 'Bearer',
      expires_in: Math.ceil(ttlMs / 1000),
      scope: isOffline ? `openid ${OFFLINE}` : 'openid',
      ...(isOffline ? { refresh_token: refreshToken } : {}),
    });
  }
}

/** Those that are over, and the oldest of too many. */
function forget(kept: Map<string, { readonly goodUntilMs: number }>, nowMs: number): void {
  for (const [key, { goodUntilMs }] of kept) {
    if (goodUntilMs <= nowMs || kept.size >= MOST) kept.delete(key);
  }
}

function codePage(): Answer {
  const label = escapeHtml('Code that the program shows');
  return page(
    'Log a program in',
    `<form action="/device"><label>${label}: <input name="user_code" autofocus></label> <button>Go on</button></form>`,
  );
}
