/** Compares two policies for sessions, requests and namespaces that there are. */
import { formatSize } from '../lib/yaml/text-types.js';
import type { SeenRequest } from '../model/assignment.js';
import { GatewayError } from '../model/errors.js';
import type {
  AccessChange,
  NamespaceChange,
  PolicyDiff,
  PolicyOutcome,
  RuleChange,
  UnknownSession,
} from '../model/policy-diff.js';
import type { Policy } from '../model/policy.js';
import { principalKey, samePrincipal, type Principal } from '../model/principal.js';
import { callerFor } from '../model/token-claims.js';
import { namespaceWithoutPool } from '../model/refusals.js';
import type { Steps } from './match.js';

export interface LiveSession {
  readonly session: string;
  readonly principal: Principal;
  readonly namespace: string;
}

/** What there is now. */
export interface Present {
  readonly sessions: readonly LiveSession[];
  /** At most one for each session, and further ones of people without. */
  readonly seen: readonly SeenRequest[];
  /** Namespaces that have drivers. */
  readonly namespaces: Iterable<string>;
}

/** Entries of each list in the answer. */
const MAX_LISTED = 1000;

/** In steps: a fleet may have many thousand sessions. */
export function* diffPolicies(before: Policy, after: Policy, present: Present): Steps<PolicyDiff> {
  const { known, unknown, people } = yield* sorted(present);
  const namespaces = new Set([
    ...present.namespaces,
    ...before.warmNamespaces,
    ...after.warmNamespaces,
    ...present.sessions.map(({ namespace }) => namespace),
  ]);
  const changes: AccessChange[] = [];
  for (const { session, request } of [...known, ...people]) {
    yield;
    const outcomes = {
      before: outcomeOf(before, request, session),
      after: outcomeOf(after, request, session),
    };
    for (const { namespace } of Object.values(outcomes)) {
      if (namespace !== undefined) namespaces.add(namespace);
    }
    const change = changeOf(outcomes.before, outcomes.after);
    if (!change) continue;
    const of = session === undefined ? {} : { session };
    changes.push({ change, ...of, principal: request.caller.principal, ...outcomes });
  }
  const live = new Map<string, number>();
  for (const { namespace } of present.sessions) {
    live.set(namespace, (live.get(namespace) ?? 0) + 1);
  }
  const ofNamespaces: NamespaceChange[] = [];
  for (const namespace of [...namespaces].toSorted((a, b) => a.localeCompare(b))) {
    yield;
    const change = namespaceChange(before, after, namespace, live.get(namespace) ?? 0);
    if (change) ofNamespaces.push(change);
  }
  const rules = ruleChanges(before, after);
  const count = (kind: AccessChange['change']) =>
    changes.filter(({ change }) => change === kind).length;
  return {
    problems: [],
    version: before.version,
    candidate: after.version,
    changes: changes.slice(0, MAX_LISTED),
    namespaces: ofNamespaces.slice(0, MAX_LISTED),
    unknown: unknown.slice(0, MAX_LISTED),
    rules: rules.slice(0, MAX_LISTED),
    counts: {
      sessions: known.length,
      people: people.length,
      lost: count('lost'),
      gained: count('gained'),
      moved: count('moved'),
      namespaces: ofNamespaces.length,
      unknown: unknown.length,
      rules: rules.length,
    },
  };
}

/** Rules about batch jobs, compared by what they say. */
function ruleChanges(before: Policy, after: Policy): readonly RuleChange[] {
  const [was, becomes] = [rulesOf(before), rulesOf(after)];
  return [...changed('gone', was, becomes), ...changed('new', becomes, was)];
}

function changed(
  change: RuleChange['change'],
  rules: readonly RuleText[],
  others: readonly RuleText[],
): readonly RuleChange[] {
  const there = new Set(others.map(({ part, rule }) => `${part} ${rule}`));
  return rules
    .filter(({ part, rule }) => !there.has(`${part} ${rule}`))
    .map((rule) => ({ change, ...rule }));
}

function rulesOf({ batch }: Policy): readonly RuleText[] {
  return (batch?.rules() ?? []).map(([part, rule]) => ({ part: `batch.${part}`, rule }));
}

type RuleText = Omit<RuleChange, 'change'>;

interface Asked {
  readonly session?: string;
  readonly request: SeenRequest;
}

/** Requests by what they stand for. One that a live session stands for already is no further person. */
function* sorted({ sessions, seen }: Present): Steps<{
  readonly known: readonly Asked[];
  readonly unknown: readonly UnknownSession[];
  readonly people: readonly Asked[];
}> {
  const bySession = new Map(
    seen.flatMap((request) =>
      request.sessionId === undefined ? [] : [[request.sessionId, request] as const],
    ),
  );
  const known: Asked[] = [];
  const unknown: UnknownSession[] = [];
  for (const { session, principal, namespace } of sessions) {
    const request = bySession.get(session);
    if (request && samePrincipal(request.caller.principal, principal)) {
      known.push({ session, request });
    } else unknown.push({ session, principal, namespace });
  }
  const others = new Map<string, SeenRequest>();
  for (const request of seen) {
    yield;
    others.set(askedBy(request), request);
  }
  for (const { request } of known) {
    yield;
    others.delete(askedBy(request));
  }
  const people = [...others.values()].map((request) => ({ request }));
  return { known, unknown, people };
}

/** Requests of the same person for the same place. */
function askedBy({ caller, headers, host, userId }: SeenRequest): string {
  const asked = Object.entries(headers).toSorted(([a], [b]) => a.localeCompare(b));
  return JSON.stringify([principalKey(caller.principal), host, userId, asked]);
}

/** By the functions that decide, in their order; a Config request's settings are not known here. */
function outcomeOf(
  policy: Policy,
  { caller: seen, headers, host, userId }: SeenRequest,
  session: string | undefined,
): PolicyOutcome {
  const caller = callerFor(policy, { ...seen, groups: [] });
  if (caller instanceof GatewayError) return refused(caller);
  if (session !== undefined && !samePrincipal(caller.principal, seen.principal)) {
    const { subject } = caller.principal;
    const message = `This policy knows the caller as "${subject}", and the session belongs to "${seen.principal.subject}".`;
    return refused(new GatewayError('SESSION_OF_ANOTHER', message));
  }
  const header = (name: string) => headers[name] || undefined;
  const target = policy.target({ caller, host, header });
  if (target instanceof GatewayError) return refused(target);
  const refusal = policy.refuseUse(caller, target, host) ?? policy.refuseUserId(caller, userId);
  if (refusal) return refused(refusal);
  const { namespace } = target;
  return policy.pool(namespace) ? { namespace } : refused(namespaceWithoutPool(namespace));
}

function refused({ code, message }: GatewayError): PolicyOutcome {
  return { refusal: { code, message } };
}

function changeOf(before: PolicyOutcome, after: PolicyOutcome): AccessChange['change'] | undefined {
  if (before.namespace === after.namespace) return undefined;
  if (after.namespace === undefined) return 'lost';
  return before.namespace === undefined ? 'gained' : 'moved';
}

function namespaceChange(
  before: Policy,
  after: Policy,
  namespace: string,
  sessions: number,
): NamespaceChange | undefined {
  const [was, becomes] = [namespaceFields(before, namespace), namespaceFields(after, namespace)];
  const fields = [...new Set([...was.keys(), ...becomes.keys()])]
    .filter((field) => was.get(field) !== becomes.get(field))
    .map((field) => {
      const [old, next] = [was.get(field), becomes.get(field)];
      return {
        field,
        ...(old === undefined ? {} : { before: old }),
        ...(next === undefined ? {} : { after: next }),
      };
    });
  if (fields.length === 0) return undefined;
  const [had, has] = [before.pool(namespace), after.pool(namespace)];
  const pool = had && !has ? 'gone' : has && !had ? 'new' : 'kept';
  return { namespace, sessions, pool, fields };
}

// What a policy says of a namespace, as flat text that can be compared.

/** By the policy's words, such as `pool.sessions_per_driver`; what is not limited is left out. */
export function namespaceFields(policy: Policy, namespace: string): ReadonlyMap<string, string> {
  const { schedule, ...pool } = policy.pool(namespace) ?? {};
  const fields = new Map<string, string>();
  collect(fields, 'pool', { ...pool, ...(schedule && { schedule: schedule.times }) });
  collect(fields, 'quotas', policy.quotas(namespace));
  collect(fields, 'rate_limits', policy.rateLimits?.(namespace));
  collect(fields, 'limits', policy.limits?.(namespace));
  if (policy.warmNamespaces.includes(namespace)) fields.set('warm', 'yes');
  return fields;
}

function collect(fields: Map<string, string>, name: string, value: unknown): void {
  if (value === undefined || value === null) return;
  if (Array.isArray(value)) {
    if (value.length > 0) fields.set(name, JSON.stringify(value));
  } else if (typeof value === 'object') {
    for (const [key, part] of Object.entries(value)) {
      const { field, shown } = withUnit(key, part);
      collect(fields, `${name}.${snakeCase(field)}`, shown);
    }
  } else if (typeof value !== 'function') {
    fields.set(name, typeof value === 'string' ? value : JSON.stringify(value));
  }
}

/** As the policy has it: without the unit in its name, and with the unit in its value. */
function withUnit(
  key: string,
  value: unknown,
): { readonly field: string; readonly shown: unknown } {
  if (typeof value === 'number') {
    if (key.endsWith('Ms')) return { field: key.slice(0, -2), shown: `${value / 1000}s` };
    if (key.endsWith('Bytes')) return { field: key.slice(0, -5), shown: formatSize(value) };
  }
  return { field: key, shown: value };
}

function snakeCase(name: string): string {
  return name.replaceAll(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);
}
