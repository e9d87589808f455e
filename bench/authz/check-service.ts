/** The decisions alone, for contenders that bring a server of their own. */
import pino from 'pino';
import { CheckService } from '../../src/authz/check-service.js';
import { noMetrics } from '../../src/authz/authz-metrics.js';
import { TokenVerifier } from '../../src/authz/token/verifier.js';
import { systemClock } from '../../src/model/clock.js';
import { noInterruptChannel } from '../../src/model/interrupt.js';
import { unlimitedQueries } from '../../src/model/assignment.js';
import { noTracer } from '../../src/model/audit.js';
import { assigner, policyOf, type Subject } from './subject.js';

export function checkServiceOf(subject: Subject): CheckService {
  const policy = policyOf(subject);
  const logger = pino({ level: 'warn' });
  return new CheckService({
    policy: () => policy,
    assigner,
    activity: { activity: () => undefined },
    seen: { seen: () => undefined },
    queries: unlimitedQueries,
    interrupts: noInterruptChannel,
    verifier: new TokenVerifier({ clock: systemClock, logger }),
    clock: systemClock,
    logger,
    metrics: noMetrics,
    tracer: noTracer,
    headers: {
      routing: ['x-doordash-team', 'x-doordash-environment'],
      user: 'x-doordash-user',
    },
    holdMs: 60_000,
    leaseMs: 0,
    afterExpiry: { queryMs: 0, sessionMs: 0 },
  });
}
