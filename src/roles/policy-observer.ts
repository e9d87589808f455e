/** What a policy meets while it decides, counted, and logged once for each rule. */
import { LRUCache } from 'lru-cache';
import type { Logger } from 'pino';
import type { PolicyObserver } from '../model/policy.js';

const REMEMBERED = 10_000;

export function policyObserver(metrics: PolicyObserver, logger: Logger): PolicyObserver {
  const logged = new LRUCache<string, true>({ max: REMEMBERED });
  return {
    expressionFailed(failure) {
      metrics.expressionFailed(failure);
      const { version, rule, code, message } = failure;
      const key = [version, rule, code].join('\0');
      if (logged.has(key)) return;
      logged.set(key, true);
      logger.warn(
        { version, rule, code, reason: message },
        'the expression of an access rule gave no answer; the rule does not match',
      );
    },
  };
}
