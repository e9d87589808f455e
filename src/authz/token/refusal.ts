/** Failures of jose as refusals that tell the user what to do. */
import { errors } from 'jose';
import { GatewayError, type ErrorCode } from '../../model/errors.js';
import type { IssuerPolicy } from '../../model/policy.js';

export function tokenRefusal(failure: unknown, issuer: IssuerPolicy): GatewayError {
  const refuse = (code: ErrorCode, message: string) =>
    new GatewayError(code, message, { cause: failure });
  if (failure instanceof errors.JWTClaimValidationFailed) {
    switch (failure.claim) {
      case 'aud':
        return refuse(
          'TOKEN_AUDIENCE_REFUSED',
          `Your token is for audience ${JSON.stringify(failure.payload.aud ?? null).slice(0, 200)}; accepted: ${issuer.audiences.join(', ')}.`,
        );
      case 'nbf':
        return failure.reason === 'check_failed'
          ? refuse(
              'TOKEN_NOT_YET_VALID',
              `Your token is not valid before ${isoTime(failure.payload.nbf)}. Check the clocks, or wait.`,
            )
          : refuse('TOKEN_MALFORMED', 'The claim "nbf" of your token is not a number.');
      default:
        return refuse(
          'TOKEN_MALFORMED',
          `The claim "${failure.claim}" of your token is missing or not what it should be.`,
        );
    }
  }
  if (failure instanceof errors.JOSEAlgNotAllowed) {
    return refuse('TOKEN_ALGORITHM_REFUSED', 'Your token is signed in a way that is not accepted.');
  }
  if (failure instanceof errors.JWSInvalid || failure instanceof errors.JWTInvalid) {
    return refuse('TOKEN_MALFORMED', 'Your token is not a well-formed JSON Web Token.');
  }
  return refuse(
    'TOKEN_SIGNATURE_INVALID',
    `The signature of your token is not that of its issuer ${issuer.issuer}. Get a new token.`,
  );
}

/** For messages: `seconds` since the epoch as far as that is a time. */
function isoTime(seconds: number | undefined): string {
  const date = new Date((seconds ?? Number.NaN) * 1000);
  return Number.isNaN(date.getTime()) ? 'an unknown time' : date.toISOString();
}
