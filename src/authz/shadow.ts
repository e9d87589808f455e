/**
 * What rules in shadow mode and a candidate policy would have decided otherwise: counted, logged and
 * put into the access log, never enforced.
 */
import { LRUCache } from 'lru-cache';
import type { Logger } from 'pino';
import { GatewayError } from '../model/errors.js';
import type { Policy, Target } from '../model/policy.js';
import { type Caller, principalKey } from '../model/principal.js';
import { callerFor } from '../model/token-claims.js';
import { authorize, type RequestFacts } from './decision.js';
import type { AuthzMetrics, ShadowVerdict } from './metrics.js';
import type { ShadowTally } from './shadow-tally.js';

interface Difference extends ShadowVerdict {
  /** The rule, or the candidate's version. */
  readonly by: string;
  readonly message: string;
}

export interface ShadowOptions {
  /** The policy that is tried out, if there is one. */
  readonly candidate: () => Policy | undefined;
  readonly metrics: AuthzMetrics;
  readonly tally: ShadowTally;
  readonly logger: Logger;
}

/** Differences that are logged once each: principal, namespace and reason. */
const REMEMBERED = 10_000;

export class Shadow {
  readonly #options: ShadowOptions;
  readonly #logged = new LRUCache<string, true>({ max: REMEMBERED });
  /** Callers as a candidate sees them: it may take other claims for their names and groups. */
  readonly #callers = new WeakMap<Policy, WeakMap<Caller, Caller | GatewayError>>();

  constructor(options: ShadowOptions) {
    this.#options = options;
  }

  /** For the access log: what would be different, such as `refuse:NAMESPACE_REFUSED`; undefined: nothing. */
  report(
    facts: RequestFacts,
    caller: Caller,
    policy: Policy,
    decided: Target | GatewayError,
  ): string | undefined {
    const { candidate: current, tally } = this.#options;
    const candidate = current();
    tally.decides('policy', candidate?.version);
    tally.decides('rule', policy.version);
    if (!candidate && !policy.shadows) return undefined;
    const differences = [
      ...(candidate ? [this.#compare(facts, caller, candidate, decided)] : []),
      ...ofRules(facts, caller, policy),
    ].filter((verdict) => verdict !== undefined);
    for (const difference of differences) this.#log(difference, facts, caller);
    return differences.map(({ would, code }) => `${would}:${code}`).join(',') || undefined;
  }

  #compare(
    facts: RequestFacts,
    caller: Caller,
    candidate: Policy,
    decided: Target | GatewayError,
  ): Difference | undefined {
    const seen = this.#seenBy(candidate, caller);
    const other = seen instanceof GatewayError ? seen : decide(facts, seen, candidate);
    const difference = differenceOf(decided, other);
    if (!difference) {
      this.#count({ source: 'policy', would: 'same', code: 'OK' });
      return undefined;
    }
    return { ...difference, source: 'policy', by: candidate.version };
  }

  #seenBy(candidate: Policy, caller: Caller): Caller | GatewayError {
    const seen = this.#callers.get(candidate) ?? new WeakMap<Caller, Caller | GatewayError>();
    this.#callers.set(candidate, seen);
    const known = seen.get(caller);
    if (known) return known;
    const found = callerFor(candidate, caller);
    seen.set(caller, found);
    return found;
  }

  #count(verdict: ShadowVerdict): void {
    this.#options.metrics.shadow(verdict);
    this.#options.tally.count(verdict);
  }

  #log(difference: Difference, facts: RequestFacts, caller: Caller): void {
    const { source, would, code, by, message } = difference;
    this.#count({ source, would, code });
    const { name: method } = facts.method;
    const example = { source, would, code, by, message, method, principal: caller.principal };
    this.#options.tally.example(example);
    const { issuer, subject: principal } = caller.principal;
    const key = [principalKey(caller.principal), source, would, code, by, message].join('\0');
    if (this.#logged.has(key)) return;
    this.#logged.set(key, true);
    this.#options.logger.info(
      { source, would, code, by, principal, issuer, method, reason: message },
      'a policy in shadow mode would decide otherwise',
    );
  }
}

/** What the policy decides: where the request goes, or why it is refused. */
export function decide(facts: RequestFacts, caller: Caller, policy: Policy): Target | GatewayError {
  try {
    return authorize(facts, caller, policy);
  } catch (error) {
    if (error instanceof GatewayError) return error;
    throw error;
  }
}

function differenceOf(
  decided: Target | GatewayError,
  other: Target | GatewayError,
): Pick<Difference, 'would' | 'code' | 'message'> | undefined {
  if (other instanceof GatewayError) {
    return decided instanceof GatewayError
      ? undefined
      : { would: 'refuse', code: other.code, message: other.message };
  }
  if (decided instanceof GatewayError) {
    return { would: 'allow', code: 'OK', message: `refused now: ${decided.message}` };
  }
  return decided.namespace === other.namespace
    ? undefined
    : { would: 'move', code: 'OK', message: `${decided.namespace} → ${other.namespace}` };
}

function ofRules(facts: RequestFacts, caller: Caller, policy: Policy): readonly Difference[] {
  const { config, headers, host, request } = facts;
  if (!policy.shadows) return [];
  const target = policy.target({ caller, host, header: (name) => headers.get(name) || undefined });
  if (target instanceof GatewayError) return [];
  const { userId } = request;
  return policy
    .shadows({ caller, target, host, userId, ...(config && { config }) })
    .map(({ rule, refusal, message }) => ({
      source: 'rule',
      would: refusal ? 'refuse' : 'allow',
      code: refusal?.code ?? 'OK',
      by: rule,
      message,
    }));
}
