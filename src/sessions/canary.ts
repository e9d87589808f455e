/** Which new sessions go to a variant of their pool's drivers, and which drivers they may have. */
import { createHash } from 'node:crypto';
import type { AssignRequest } from '../model/assignment.js';
import type { DriverRecord } from '../model/driver.js';
import type { CanaryPolicy, PoolPolicy } from '../model/policy.js';
import type { PoolStatusSource } from '../model/pool.js';
import { principalKey } from '../model/principal.js';
import type { Place } from './waiting-room.js';

/**
 * The canary that takes the session. What is alike is chosen alike for as long as the share does not
 * shrink: a larger share takes others in addition.
 */
export function chooseCanary(
  { canaries = [] }: Pick<PoolPolicy, 'canaries'>,
  { principal, sessionId }: Pick<AssignRequest, 'principal' | 'sessionId'>,
): CanaryPolicy | undefined {
  return canaries.find(({ variant, share, sticky }) => {
    const key = sticky === 'principal' ? principalKey(principal) : sessionId;
    return fraction(`${variant}\0${key}`) < share;
  });
}

/** From 0 to 1, the same for the same text. */
function fraction(text: string): number {
  return createHash('sha256').update(text).digest().readUInt32BE() / 2 ** 32;
}

/** Whether there is no sense in waiting for the variant: its drivers fail to start, or the policy dropped it. */
export function isOver(place: Place, pool: PoolPolicy, pools: PoolStatusSource): boolean {
  const { variant } = place;
  if (variant === undefined) return false;
  const inPolicy = pool.canaries?.some((canary) => canary.variant === variant) === true;
  return !inPolicy || pools.status(place).failure !== undefined;
}

/** The open drivers that the session may have: those of its variant first. */
export function acceptable(
  open: readonly DriverRecord[],
  { variant, place }: { readonly variant: string | undefined; readonly place: Place },
): readonly DriverRecord[] {
  const own = open.filter((driver) => driver.variant === variant);
  if (variant === undefined || place.variant !== undefined) return own;
  return [...own, ...open.filter((driver) => driver.variant === undefined)];
}
