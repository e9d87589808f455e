/** The OpenID provider, as the command line asks it: device flow (RFC 8628), renewal (RFC 6749), revocation (RFC 7009). */
import { decodeJwt } from 'jose';
import * as client from 'openid-client';
import { GatewayError, reasonOf } from '../../model/errors.js';
import { printable } from '../render.js';

export interface ProviderOfLogin {
  readonly issuer: string;
  /** A public client, with the device flow. */
  readonly clientId: string;
}

/** What a provider gave. */
export interface Tokens {
  readonly accessToken: string;
  readonly refreshToken: string | undefined;
  /** Milliseconds from now. */
  readonly lifeMs: number;
}

const TIMEOUT_S = 10;
const DEVICE_GRANT = 'urn:ietf:params:oauth:grant-type:device_code';
/** RFC 8628 section 3.5: `slow_down` adds this for good. */
const SLOW_DOWN_MS = 5_000;
const DEFAULT_INTERVAL_MS = 5_000;
const LONGEST_INTERVAL_MS = 60_000;
/** Of a token that does not say how long it is good. */
const SHORT_LIFE_MS = 300_000;
const LONGEST_REASON = 300;

/** Rejects with ISSUER_UNREACHABLE. */
export async function discoverProvider({
  issuer,
  clientId,
}: ProviderOfLogin): Promise<client.Configuration> {
  const url = new URL(issuer);
  try {
    return await client.discovery(url, clientId, undefined, client.None(), {
      timeout: TIMEOUT_S,
      // Other than https is a loopback address: whoever names the issuer sees to that.
      execute: url.protocol === 'http:' ? [client.allowInsecureRequests] : [],
    });
  } catch (error) {
    throw unreachable(issuer, error);
  }
}

export interface DeviceLoginParts {
  /** Wall time, milliseconds since the epoch. */
  readonly now: () => number;
  readonly pause: (ms: number) => Promise<void>;
  /** Tells people where to go and what to enter there. */
  readonly say: (text: string) => void;
}

/**
 * Shows a code that a person confirms on whatever device has a browser, and waits for it. Rejects with LOGIN_FAILED
 * or ISSUER_UNREACHABLE.
 */
export async function deviceLogin(
  provider: client.Configuration,
  scope: string,
  { now, pause, say }: DeviceLoginParts,
): Promise<Tokens> {
  const { issuer, device_authorization_endpoint: endpoint } = provider.serverMetadata();
  if (endpoint === undefined) {
    throw failed(
      `${issuer} has no device login: get a token another way, and put it into SPARK_GATEWAY_TOKEN or a file named by --token-file.`,
    );
  }
  const begun = await asked(issuer, () => client.initiateDeviceAuthorization(provider, { scope }));
  const where = printable(begun.verification_uri_complete ?? begun.verification_uri);
  say(`To log in, open ${where} and enter the code ${printable(begun.user_code)}`);

  let intervalMs = begun.interval === undefined ? DEFAULT_INTERVAL_MS : begun.interval * 1000;
  const endsAtMs = now() + begun.expires_in * 1000;
  while (now() + intervalMs < endsAtMs) {
    await pause(intervalMs);
    try {
      return tokensOf(
        await client.genericGrantRequest(provider, DEVICE_GRANT, {
          device_code: begun.device_code,
        }),
        now(),
      );
    } catch (error) {
      if (!(error instanceof client.ResponseBodyError)) {
        if (isOfLibrary(error)) throw failed(`${issuer} answers what does not fit: ${why(error)}`);
        // Nothing is decided while it does not answer (RFC 8628 section 3.5: slower at each time-out).
        intervalMs = Math.min(intervalMs * 2, LONGEST_INTERVAL_MS);
      } else if (error.error === 'slow_down') intervalMs += SLOW_DOWN_MS;
      else if (error.error === 'access_denied') throw failed('The login was refused.');
      else if (error.error === 'expired_token') break;
      else if (error.error !== 'authorization_pending') throw refused(issuer, error);
    }
  }
  throw failed('The login was not confirmed in time: begin again.');
}

/**
 * Rejects with LOGIN_FAILED when the provider does not take the refresh token any more, with ISSUER_UNREACHABLE when
 * it cannot tell.
 */
export async function renewTokens(
  provider: client.Configuration,
  refreshToken: string,
  nowMs: number,
): Promise<Tokens> {
  const { issuer } = provider.serverMetadata();
  const renewed = tokensOf(
    await asked(issuer, () => client.refreshTokenGrant(provider, refreshToken)),
    nowMs,
  );
  // One that does not rotate them sends none: the old one stays good (RFC 6749 section 6).
  return { ...renewed, refreshToken: renewed.refreshToken ?? refreshToken };
}

/** Whether the provider takes tokens back. Rejects with ISSUER_UNREACHABLE or LOGIN_FAILED. */
export async function revokeTokens(
  provider: client.Configuration,
  { accessToken, refreshToken }: Pick<Tokens, 'accessToken' | 'refreshToken'>,
): Promise<boolean> {
  const { issuer, revocation_endpoint: endpoint } = provider.serverMetadata();
  if (endpoint === undefined) return false;
  // With the refresh token its access tokens go, where they can be taken back at all (RFC 7009 section 2.1).
  const [token, kind] =
    refreshToken === undefined ? [accessToken, 'access_token'] : [refreshToken, 'refresh_token'];
  await asked(issuer, () => client.tokenRevocation(provider, token, { token_type_hint: kind }));
  return true;
}

async function asked<T>(issuer: string, ask: () => Promise<T>): Promise<T> {
  try {
    return await ask();
  } catch (error) {
    if (error instanceof client.ResponseBodyError) throw refused(issuer, error);
    if (isOfLibrary(error)) throw failed(`${issuer} answers what does not fit: ${why(error)}`);
    throw unreachable(issuer, error);
  }
}

/** It had an answer and cannot use it; a status of 5xx is none of the provider's. */
function isOfLibrary(error: unknown): boolean {
  if (!(error instanceof client.ClientError) || error.code === 'OAUTH_TIMEOUT') return false;
  return !(error.cause instanceof Response && error.cause.status >= 500);
}

function tokensOf(
  { access_token: accessToken, refresh_token, ...answer }: client.TokenEndpointResponse,
  nowMs: number,
): Tokens {
  const lifeMs =
    answer.expires_in === undefined ? undefined : Math.max(0, answer.expires_in * 1000);
  return {
    accessToken,
    refreshToken: refresh_token,
    lifeMs: lifeMs ?? lifeOf(accessToken, nowMs) ?? SHORT_LIFE_MS,
  };
}

/** Of a JWT (RFC 7519); nobody here believes it for more than when to renew it. */
function lifeOf(token: string, nowMs: number): number | undefined {
  try {
    const { exp } = decodeJwt(token);
    return exp === undefined ? undefined : Math.max(0, exp * 1000 - nowMs);
  } catch {
    return undefined;
  }
}

function refused(issuer: string, error: client.ResponseBodyError): GatewayError {
  const { error_description: description } = error;
  const told = description === undefined ? error.error : `${error.error}, ${description}`;
  return failed(`${issuer} refuses it: ${printable(told).slice(0, LONGEST_REASON)}`);
}

function unreachable(issuer: string, cause: unknown): GatewayError {
  return new GatewayError(
    'ISSUER_UNREACHABLE',
    `The token issuer ${issuer} does not answer as it should: ${why(cause)}`,
    { cause },
  );
}

/** What fetch says of itself is behind its cause. */
function why(error: unknown): string {
  const cause = error instanceof Error ? error.cause : undefined;
  const text = cause instanceof Error && cause.message !== '' ? cause.message : reasonOf(error);
  return printable(text).slice(0, LONGEST_REASON);
}

function failed(message: string): GatewayError {
  return new GatewayError('LOGIN_FAILED', message);
}
