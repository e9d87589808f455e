/** What a login is good for: the token with which other commands ask, renewed near its end. */
import { GatewayError } from '../../model/errors.js';
import { type KeptLogin, type KeptLogins, keptOf } from './kept-logins.js';

/** A token is renewed before its end, by this or by a fifth of its life. */
const BEFORE_END_MS = 60_000;

export interface LoginPlace {
  readonly logins: KeptLogins;
  /** Where the control plane answers. */
  readonly gateway: URL;
  /** Wall time, milliseconds since the epoch. */
  readonly now: () => number;
  readonly pause: (ms: number) => Promise<void>;
}

/**
 * The token of the login that is kept for a gateway, renewed near its end; undefined: there is no login. Rejects with
 * LOGIN_FAILED when it has ended, with ISSUER_UNREACHABLE when it can be neither used nor renewed.
 */
export async function tokenOfLogin({
  logins,
  gateway,
  now,
  pause,
}: LoginPlace): Promise<string | undefined> {
  const kept = await logins.get(gateway);
  if (!kept || isFresh(kept, now())) return kept?.accessToken;
  return logins.exclusively(gateway, pause, async () => {
    // Another process may have renewed it while this one waited.
    const current = await logins.get(gateway);
    if (!current || isFresh(current, now())) return current?.accessToken;
    return renewed(current, { logins, gateway, now });
  });
}

async function renewed(
  current: KeptLogin,
  { logins, gateway, now }: Omit<LoginPlace, 'pause'>,
): Promise<string> {
  const { refreshToken, accessToken, goodUntilMs } = current;
  const isGood = goodUntilMs > now();
  if (refreshToken === undefined) {
    if (isGood) return accessToken;
    throw ended(gateway, 'its token has expired, and its issuer gave nothing to renew it with');
  }
  // Most commands need no provider.
  const { discoverProvider, renewTokens } = await import('./provider.js');
  try {
    const provider = await discoverProvider(current);
    const login = keptOf(current, await renewTokens(provider, refreshToken, now()), now());
    await logins.put(gateway, login);
    return login.accessToken;
  } catch (error) {
    if (isGood) return accessToken;
    if (error instanceof GatewayError && error.code === 'LOGIN_FAILED') {
      throw ended(gateway, error.message);
    }
    throw error;
  }
}

function isFresh({ obtainedAtMs, goodUntilMs }: KeptLogin, nowMs: number): boolean {
  return nowMs < goodUntilMs - Math.min(BEFORE_END_MS, (goodUntilMs - obtainedAtMs) / 5);
}

function ended(gateway: URL, reason: string): GatewayError {
  return new GatewayError(
    'LOGIN_FAILED',
    `Your login to ${gateway.origin} has ended: run spark-gateway login. (${reason})`,
  );
}
