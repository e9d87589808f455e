/** Refusals that one part gives and another must be able to foretell (`Policy.explain`). */
import { GatewayError } from './errors.js';

export function tokenMissing(): GatewayError {
  return new GatewayError(
    'TOKEN_MISSING',
    'Your request has no token. Put one in the URL: sc://<host>:15002/;token=<token>.',
  );
}

/** `accepted`: the issuers that the policy names. */
export function issuerUnknown(issuer: string, accepted: readonly string[]): GatewayError {
  return new GatewayError(
    'TOKEN_ISSUER_UNKNOWN',
    `Your token is of issuer ${JSON.stringify(issuer).slice(0, 200)}; accepted: ${accepted.join(', ') || 'none'}.`,
  );
}

export function namespaceWithoutPool(namespace: string): GatewayError {
  return new GatewayError(
    'NAMESPACE_REFUSED',
    `No pool of Spark drivers is set up for ${namespace}. Check the team and environment, or ask the platform team for a pool.`,
  );
}

/** One session id with two users would be two sessions for Spark, of which the gateway knows one. */
export function userIdChanged(): GatewayError {
  return new GatewayError(
    'USER_ID_MISMATCH',
    'This session began with another user_id. Keep the one that it began with, or leave session_id out of the sc:// URL for a session of its own.',
  );
}

/** A pause after which asking again makes sense when nothing better is known. */
export const RETRY_MS = 2000;

export function notLeading(): GatewayError {
  return new GatewayError(
    'CONTROL_PLANE_UNAVAILABLE',
    'This control plane does not lead now; try again in a moment.',
    { retryAfterMs: RETRY_MS },
  );
}

export function cancelled(): GatewayError {
  return new GatewayError('DRIVER_STARTING', 'The caller no longer waits for a Spark driver.', {
    retryAfterMs: RETRY_MS,
  });
}
