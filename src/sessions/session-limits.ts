/** How many sessions somebody may have, and how many they may begin in a time. */
import type { AssignRequest } from '../model/assignment.js';
import type { Clock } from '../model/clock.js';
import type { SessionRecord } from '../model/driver.js';
import type { GatewayError } from '../model/errors.js';
import type { Ledger } from '../model/ledger.js';
import { RateLimiter, refuseByRate } from '../model/limit-refusals.js';
import type { Policy } from '../model/policy.js';
import { samePrincipal } from '../model/principal.js';
import type { ActivityTable } from './activity.js';
import { refuseByQuota } from './eligibility.js';
import type { OwnSession } from './session-refusals.js';

export interface SessionLimitsOptions {
  readonly ledger: Pick<Ledger, 'all' | 'byNamespace'>;
  readonly policy: () => Policy;
  readonly activity: Pick<ActivityTable, 'hasOpenStream' | 'lastActiveMs'>;
  readonly clock: Clock;
}

export class SessionLimits {
  readonly #options: SessionLimitsOptions;
  readonly #rates = new RateLimiter();

  constructor(options: SessionLimitsOptions) {
    this.#options = options;
  }

  /** Counts the request. */
  overRate(request: AssignRequest): GatewayError | undefined {
    const { policy, clock } = this.#options;
    const { sessions } = policy().rateLimits?.(request.namespace) ?? {};
    return sessions && refuseByRate('sessions', this.#rates, sessions, request, clock.now());
  }

  overQuota(request: AssignRequest): GatewayError | undefined {
    const { ledger, policy } = this.#options;
    const quotas = policy().quotas(request.namespace);
    return refuseByQuota(ledger.all(), request, quotas, (session) => this.#stateOf(session));
  }

  /** The caller's in the namespace that it asks for. */
  ownSessions({ namespace, principal }: AssignRequest): OwnSession[] {
    return Array.from(this.#options.ledger.byNamespace(namespace))
      .flatMap(({ sessions }) => Object.values(sessions))
      .filter((session) => samePrincipal(session.principal, principal))
      .map((session) => this.#stateOf(session));
  }

  #stateOf(session: SessionRecord): OwnSession {
    const { activity, clock } = this.#options;
    return {
      sessionId: session.sessionId,
      isBusy: activity.hasOpenStream(session.sessionId),
      idleMs: clock.now() - activity.lastActiveMs(session),
    };
  }
}
