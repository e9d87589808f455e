/** Walks through the steps of a decision with the functions that decide, and says what each found. */
import { GatewayError } from '../model/errors.js';
import type {
  ExplainedRefusal,
  ExplainedRule,
  ExplainedStep,
  Explanation,
  ExplainRequest,
  StepName,
  Policy,
  Target,
} from '../model/policy.js';
import type { Caller } from '../model/principal.js';
import { issuerUnknown, namespaceWithoutPool, tokenMissing } from '../model/refusals.js';
import { quote } from '../lib/yaml/problem.js';
import type { AccessRules, ClientUrl } from './access.js';
import { hasNoToken } from './who.js';

/** The parts of the policy that decide. */
type Decisions = Pick<
  Policy,
  | 'version'
  | 'issuers'
  | 'target'
  | 'refuseUse'
  | 'refuseUserId'
  | 'refuseConfig'
  | 'administration'
  | 'pool'
  | 'quotas'
  | 'rateLimits'
  | 'limits'
>;

interface Context {
  readonly access: AccessRules;
  readonly clientUrl: ClientUrl;
  /** Names of services and source networks. */
  readonly services: readonly string[];
  readonly comparesUserId: boolean;
}

/** What a step found; a string: it passed, and why. */
type Found = string | GatewayError;

const STEPS: readonly StepName[] = ['caller', 'target', 'access', 'user_id', 'config', 'pool'];

export function compileExplain(
  decisions: Decisions,
  context: Context,
): (request: ExplainRequest) => Explanation {
  return (request) => {
    const { caller } = request;
    let target: Target | undefined;
    let rules: readonly ExplainedRule[] = [];
    const steps: ExplainedStep[] = [];
    let refusal: ExplainedRefusal | undefined;

    const find: Record<StepName, () => Found> = {
      caller: () => findCaller(caller, decisions, context),
      target() {
        const found = decisions.target(targetRequest(request, context.clientUrl));
        if (found instanceof GatewayError) return found;
        target = found;
        return sourceOfTarget(request, found);
      },
      access() {
        if (!target) return '';
        const host = hostOf(request);
        rules = context.access.explain({ caller, target, host });
        const { number, name } = rules.find(({ allows }) => allows) ?? {};
        return (
          decisions.refuseUse(caller, target, host) ??
          `rule ${number}${name === undefined ? '' : ` (${name})`} allows it`
        );
      },
      user_id() {
        if (!context.comparesUserId) return 'the policy compares it with nothing';
        if (hasNoToken(caller)) return 'services act for people';
        if (request.userId === undefined) return 'taken to be the caller, as none was given';
        return decisions.refuseUserId(caller, request.userId) ?? `${quote(request.userId)} is own`;
      },
      config() {
        if (!target || !request.config) return 'no request of the Config RPC';
        const config = { reads: [], writes: [], lists: [], whole: true, ...request.config };
        return decisions.refuseConfig(caller, target, config) ?? 'no rule protects these settings';
      },
      pool() {
        if (!target) return '';
        return decisions.pool(target.namespace)
          ? `${target.namespace} has a pool`
          : namespaceWithoutPool(target.namespace);
      },
    };
    for (const step of STEPS) {
      if (refusal) {
        steps.push({ step, outcome: 'not reached', reason: '' });
        continue;
      }
      const found = find[step]();
      if (typeof found === 'string') steps.push({ step, outcome: 'passed', reason: found });
      else {
        const { code, status, message } = found;
        refusal = { code, status, message };
        steps.push({ step, outcome: 'refused', reason: message });
      }
    }
    const pool = target && decisions.pool(target.namespace);
    const rateLimits = target && decisions.rateLimits?.(target.namespace);
    const limits = target && decisions.limits?.(target.namespace);
    return Object.freeze<Explanation>({
      policyVersion: decisions.version,
      allowed: refusal === undefined,
      ...(refusal && { refusal }),
      caller: { ...caller.principal, groups: [...caller.groups] },
      ...(target && { target }),
      steps,
      rules,
      ...(pool && { pool }),
      ...(target && { quotas: decisions.quotas(target.namespace) }),
      ...(rateLimits && { rateLimits }),
      ...(limits && { limits }),
      administration: decisions.administration(caller),
    });
  };
}

function hostOf({ host = '' }: ExplainRequest): string {
  return host.toLowerCase();
}

function targetRequest(request: ExplainRequest, url: ClientUrl) {
  const { caller, team, environment } = request;
  const headers = new Map([
    [url.teamHeader, team],
    [url.environmentHeader, environment],
  ]);
  return {
    caller,
    host: hostOf(request),
    header: (name: string) => headers.get(name) || undefined,
  };
}

function sourceOfTarget(request: ExplainRequest, { team, environment }: Target): string {
  const teamFrom = request.team ? 'its header' : 'a claim of the token';
  const environmentFrom = request.environment ? 'its header' : 'the host name';
  return `team ${quote(team)} by ${teamFrom}, environment ${quote(environment)} by ${environmentFrom}`;
}

function findCaller(
  caller: Caller,
  { issuers }: Decisions,
  { services }: Pick<Context, 'services'>,
): Found {
  const { issuer, subject } = caller.principal;
  if (hasNoToken(caller)) {
    return services.includes(subject) ? `service ${quote(subject)}` : tokenMissing();
  }
  const names = issuers.map((known) => known.issuer);
  return names.includes(issuer)
    ? `a token of ${issuer} names ${quote(subject)}`
    : issuerUnknown(issuer, names);
}
