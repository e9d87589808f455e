import { GatewayError } from '../model/errors.js';

/** A store's answer to a write or a deletion whose version is not the stored record's. */
export function changedByAnother(uid: string, cause?: unknown): GatewayError {
  return new GatewayError(
    'RECORD_CONFLICT',
    `The record of driver ${uid} was changed by someone else.`,
    { cause },
  );
}
