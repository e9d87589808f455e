/**
 * What the Connect server of Spark 3.5 forgets, in silence: the client of a forgotten session gets an empty one under
 * its id (SparkConnectService.userSessionMapping: a Guava cache with CONNECT_SESSION_EXPIRATION of 3,600 s since the last
 * access, and 100 entries). Spark 4 has a time-out to set and no such bound.
 */
const FORGETS_AFTER_MS = 60 * 60_000;
const MOST_SESSIONS = 100;

/** `version` as in `3.5.7`. */
export function isSpark3(version: string): boolean {
  return version.startsWith('3.');
}

/** Why such a Spark cannot hold sessions for as long as the gateway keeps idle ones; undefined: it can. */
export function refuseSessionTtl(version: string, sessionTtlMs: number): string | undefined {
  return isSpark3(version) && sessionTtlMs >= FORGETS_AFTER_MS
    ? 'Spark 3.5 forgets a session in silence after an hour without a request: session_ttl must be shorter than 1h, or this Spark 4'
    : undefined;
}

/** Sessions that it remembers at most; undefined: as many as its memory holds, or the version is not known. */
export function mostSessions(version: string | undefined): number | undefined {
  return version !== undefined && isSpark3(version) ? MOST_SESSIONS : undefined;
}
