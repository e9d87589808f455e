/** Who asks something of the gateway itself, and what they may ask of it. */
import type { DriverPhase, SessionEnd } from './driver.js';
import type { AdministrationRole, Policy } from './policy.js';
import { type Caller, type Principal, CERTIFICATE_ISSUER } from './principal.js';

/** A caller whose identity was verified. */
export interface Identified {
  readonly caller: Caller;
  /** Where it does not follow from the policy. */
  readonly role?: AdministrationRole;
  /** The identity is no good from then on, milliseconds since the epoch. */
  readonly goodUntilMs: number;
}

/** Verifies tokens of the issuers that the policy in force accepts. Rejects with a GatewayError. */
export interface TokenVerification {
  /** Everything but the expiry, which is for the caller to judge by `goodUntilMs`. */
  verify(token: string): Promise<Identified>;
}

/** Header names are lower case. */
export interface IdentifiableRequest {
  readonly method: string;
  readonly headers: Readonly<Record<string, string | readonly string[] | undefined>>;
}

/** One way to know the caller of an HTTP request: by a bearer token, by a cookie. */
export interface Identification {
  /**
   * undefined: the request shows nothing of this kind. Rejects with a GatewayError when what it
   * shows is no good, or when it must not be believed with this method.
   */
  identify(request: IdentifiableRequest): Promise<Identified | undefined>;
}

/** A driver after an action on it. */
export interface DriverOutcome {
  readonly uid: string;
  readonly phase: DriverPhase;
  /** Sessions that it still has. */
  readonly sessions: number;
  readonly drainDeadlineMs: number | undefined;
}

/** A session after an action on it: it has ended. */
export interface SessionOutcome {
  readonly sessionId: string;
  readonly driverUid: string;
  readonly end: SessionEnd;
  readonly endedAtMs: number;
}

/**
 * What operators do. Each is idempotent and resolves when what it did is durable. They reject with
 * DRIVER_UNKNOWN, SESSION_UNKNOWN, or CONTROL_PLANE_UNAVAILABLE while nobody leads.
 */
export interface Operations {
  /** No new session from now on; those it has are ended at `deadlineMs` (epoch), or never. */
  drain(driverUid: string, deadlineMs: number | undefined, by: Principal): Promise<DriverOutcome>;
  /**
   * Takes a drain back: it takes new sessions again. Rejects with ARGUMENT_INVALID for a driver that
   * ends already.
   */
  undrain(driverUid: string, by: Principal): Promise<DriverOutcome>;
  /** Ends the driver with its sessions; their clients are told SESSION_CHANGED. */
  evict(driverUid: string, by: Principal): Promise<DriverOutcome>;
  /** Ends the session. */
  release(sessionId: string, by: Principal): Promise<SessionOutcome>;
}

// A caller that somebody asks about, as its token or certificate would show it.

export interface CallerDescription {
  /** The verified subject of a token. */
  readonly principal?: string | undefined;
  /** Left out: the policy's first issuer. */
  readonly issuer?: string | undefined;
  readonly groups?: readonly string[] | undefined;
  readonly claims?: Readonly<Record<string, unknown>> | undefined;
  /** A service or source network by name, instead of a principal. */
  readonly service?: string | undefined;
}

/** Fills in the claims that name the subject and its groups, unless they are given. */
export function describedCaller(
  description: CallerDescription,
  { issuers }: Pick<Policy, 'issuers'>,
): Caller {
  const { principal = '', service, groups = [], claims = {} } = description;
  if (service !== undefined) {
    return { principal: { issuer: CERTIFICATE_ISSUER, subject: service }, groups: [], claims: {} };
  }
  const issuer = description.issuer ?? issuers[0]?.issuer ?? '';
  const known = issuers.find((candidate) => candidate.issuer === issuer);
  return {
    principal: { issuer, subject: principal },
    groups,
    claims: known
      ? { [known.principalClaim]: principal, [known.groupsClaim]: groups, ...claims }
      : claims,
  };
}
