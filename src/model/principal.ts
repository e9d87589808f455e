/** Who calls, as verified. */
export interface Principal {
  /** Where the identity was verified: the token's `iss`, or `certificate` for a peer certificate. */
  readonly issuer: string;
  /** The verified subject; unique within the issuer. */
  readonly subject: string;
}

/**
 * A principal with what was verified about it, as the policy sees it. Immutable, and the same value
 * for as long as its token is remembered: a policy keeps what it has found out about it.
 */
export interface Caller {
  readonly principal: Principal;
  readonly groups: readonly string[];
  /** The token's verified claims; empty for a peer certificate. */
  readonly claims: Readonly<Record<string, unknown>>;
}

export function samePrincipal(a: Principal, b: Principal): boolean {
  return a.issuer === b.issuer && a.subject === b.subject;
}

/** A map key; NUL cannot occur in either part of a valid principal. */
export function principalKey(principal: Principal): string {
  return `${principal.issuer}\u0000${principal.subject}`;
}

/** Issuer of a principal that a verified peer certificate stands for. No token issuer is called so: those are URLs. */
export const CERTIFICATE_ISSUER = 'certificate';
/** Issuer of a principal that an unauthenticated source network stands for. */
export const NETWORK_ISSUER = 'network';
/** Issuer of a principal for whom a service says to act, as the policy lets it. */
export const ASSERTED_ISSUER = 'asserted';
