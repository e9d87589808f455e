/**
 * What rules in shadow mode and a candidate policy would have decided otherwise: counted, logged and
 * put into the access log, never enforced.
 */
import type { Logger } from 'pino';
import type { Clock } from '../model/clock.js';
import { GatewayError } from '../model/errors.js';
import type { Policy, Target } from '../model/policy.js';
import { type Caller, principalKey } from '../model/principal.js';
import { callerFor } from '../model/token-claims.js';
import type { ShadowCount, ShadowExample, ShadowKind } from '../model/reports.js';
import { recent } from '../lib/recent.js';
import { authorize, type RequestFacts } from './decision.js';
import type { AuthzMetrics } from './authz-metrics.js';
import type { ShadowVerdict } from './authz-metrics.js';

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
  readonly #logged = recent<string, true>(REMEMBERED);
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

// How often what is tried out would have decided otherwise, and the newest examples, for operators.

const MOST_EXAMPLES = 10;
const LONGEST_MESSAGE = 500;

type Source = ShadowKind['source'];

export class ShadowTally {
  readonly #clock: Clock;
  readonly #counts = new Map<string, { readonly kind: ShadowKind; count: number }>();
  /** Each once, the newest last. */
  readonly #examples = new Map<string, ShadowExample>();
  readonly #versions = new Map<Source, string>();

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** What a source decides from here on is of this version: what an earlier one did is forgotten. */
  decides(source: Source, version: string | undefined): void {
    if (version === undefined || this.#versions.get(source) === version) return;
    this.#versions.set(source, version);
    for (const [key, { kind }] of this.#counts)
      if (kind.source === source) this.#counts.delete(key);
    for (const [key, example] of this.#examples) {
      if (example.source === source) this.#examples.delete(key);
    }
  }

  count({ source, would, code }: ShadowKind): void {
    const key = `${source} ${would} ${code}`;
    const known = this.#counts.get(key);
    if (known) known.count++;
    else this.#counts.set(key, { kind: { source, would, code }, count: 1 });
  }

  example(example: Omit<ShadowExample, 'atMs'>): void {
    const { source, would, code, by, principal, message } = example;
    const key = [source, would, code, by, principalKey(principal)].join('\0');
    this.#examples.delete(key);
    this.#examples.set(key, {
      ...example,
      message: message.slice(0, LONGEST_MESSAGE),
      atMs: this.#clock.now(),
    });
    for (const oldest of this.#examples.keys()) {
      if (this.#examples.size <= MOST_EXAMPLES) break;
      this.#examples.delete(oldest);
    }
  }

  get counts(): readonly ShadowCount[] {
    return Array.from(this.#counts.values(), ({ kind, count }) => ({ ...kind, count }));
  }

  /** The newest first. */
  get examples(): readonly ShadowExample[] {
    return [...this.#examples.values()].toReversed();
  }
}
