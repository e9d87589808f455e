/** Turns the text of a policy into an immutable value that answers fast. */
import { createHash } from 'node:crypto';
import { dirname } from 'node:path';
import { type ParsedYaml, parseYaml } from '../lib/yaml/yaml-tree.js';
import { formatProblems } from '../lib/yaml/problem.js';
import { Reader } from '../lib/yaml/schema.js';
import { GatewayError } from '../model/errors.js';
import type {
  ConfigRequest,
  IssuerPolicy,
  Policy,
  PolicyObserver,
  Target,
  ShadowFinding,
  ShadowRequest,
} from '../model/policy.js';
import type { Caller } from '../model/principal.js';
import { AccessRules, checkAccess, type ClientUrl, refusedUse } from './access.js';
import {
  compileAdministration,
  compileServices,
  compileSourceNetworks,
  compileIssuers,
  compileUserIdRule,
} from './callers.js';
import { compileBatch } from './batch/compile.js';
import { checkCanaries, withCanaries } from './canaries.js';
import { compileConfigRules, type ConfigRules } from './config-rules.js';
import { type PolicyDocument, policyDocument, type TargetsEntry } from './document.js';
import { compileExplain } from './explain.js';
import { compileLimits, compileRateLimits } from './limits.js';
import { atOnce, type Steps } from './match.js';
import { compilePools, compileQuotas, type PoolDefaults } from './pools.js';
import { compileTargets } from './targets.js';
import { defaultTemplate } from './namespace-template.js';
import { DEFAULT_TEMPLATE } from './namespace-template.js';
import { compileNamespaceTemplate } from './namespace-template.js';
import { TemplateProblem } from './namespace-template.js';
import { type NamespaceTemplate } from './namespace-template.js';

/** What the policy takes from the settings. */
export interface PolicyOptions {
  readonly clientUrl: ClientUrl;
  readonly poolDefaults: PoolDefaults;
  /** Accepted beside the policy's own issuers, unless it names them itself. */
  readonly furtherIssuers: readonly IssuerPolicy[];
  readonly observer?: PolicyObserver;
}

const DEFAULT_TARGETS: TargetsEntry = {
  namespace: DEFAULT_TEMPLATE,
  environments: undefined,
  team_claim: undefined,
  environment_by_host: new Map(),
};

/** Throws POLICY_INVALID whose message holds every mistake, one on each line. `file` is shown in it. */
export function compilePolicy(text: string, file: string, options: PolicyOptions): Policy {
  return checkPolicy(text, file, options).policy;
}

/** A good policy, and what it was made of. */
export interface CheckedPolicy {
  readonly policy: Policy;
  /** As a file holds it. */
  readonly text: string;
  readonly document: PolicyDocument;
  /** Knows where its entries were written. */
  readonly reader: Reader;
}

/** The same, with all that there is to know. */
export function checkPolicy(text: string, file: string, options: PolicyOptions): CheckedPolicy {
  return checkParsed(parseYaml(text, file), text, options, dirname(file));
}

/** The same for what was parsed already; `text` says the same, and makes the version. `base`: against it relative paths are resolved. */
export function checkParsed(
  parsed: ParsedYaml,
  text: string,
  options: PolicyOptions,
  base: string,
): CheckedPolicy {
  const reader = new Reader(base);
  reader.problems.push(...parsed.problems);
  const document = parsed.wellFormed ? policyDocument.read(parsed.value, reader) : undefined;
  const version = versionOf(text, options);
  const policy = document && atOnce(compileDocument(document, options, version, reader));
  if (!policy || reader.problems.length > 0) {
    throw new GatewayError('POLICY_INVALID', formatProblems(reader.problems));
  }
  return { policy, text, document, reader };
}

/** Mistakes go to the reader; with one, what is returned is not to be used. */
export function* compileDocument(
  document: PolicyDocument,
  { clientUrl, furtherIssuers, observer, poolDefaults }: PolicyOptions,
  version: string,
  reader: Reader,
): Steps<Policy> {
  const targets = document.targets ?? DEFAULT_TARGETS;
  const template = templateOf(targets, reader);
  const issuers = compileIssuers(document.issuers, furtherIssuers, reader);
  const names = [...document.services, ...document.source_networks].map(({ name }) => name);
  checkNames(document, reader);
  checkTargets(targets, template, reader);
  const known = { services: names, issuers: issuers.map(({ issuer }) => issuer) };
  yield* checkAccess(document.access, { ...known, environments: targets.environments }, reader);
  if (issuers.length + names.length === 0) {
    reader.refuseAt(
      document,
      undefined,
      'nobody could use this gateway: name issuers, services or source_networks, or set okta_issuer in the settings',
    );
  }
  const access = yield* AccessRules.compile(document.access, reader, (rule, { code, message }) =>
    observer?.expressionFailed({ version, rule, code, message }),
  );
  checkCanaries(document.canaries, reader);
  const pool = withCanaries(
    yield* compilePools(document.pools, poolDefaults, template, reader),
    document.canaries,
    template,
  );
  for (const namespace of document.warm_namespaces) {
    if (pool(namespace)) continue;
    reader.refuseAt(document, 'warm_namespaces', `no entry of pools is for ${namespace}`);
  }
  const config = compileConfigRules(document.config_rules, known, template, reader);
  const userId = compileUserIdRule(document.user_id);
  const shadowUserId = document.user_id?.mode === 'shadow';
  const shadows = compileShadows({ access, config, userId: shadowUserId ? userId : undefined });
  const decisions = {
    version,
    issuers,
    target: compileTargets(targets, template, clientUrl),
    refuseUse: (caller: Caller, target: Target, host = '') =>
      access.allows({ caller, target, host })
        ? undefined
        : refusedUse(caller, target, access.grants(caller), clientUrl, issuers),
    refuseUserId: shadowUserId ? () => undefined : userId,
    refuseConfig: (caller: Caller, target: Target, asked: ConfigRequest) =>
      config.refuse(caller, target, asked),
    administration: compileAdministration(document.administration, known, reader),
    pool,
    quotas: compileQuotas(document.quotas, template),
    rateLimits: compileRateLimits(document.rate_limits, template),
    limits: compileLimits(document.limits, template),
  };
  return Object.freeze<Policy>({
    ...decisions,
    leases: document.leases,
    services: Object.freeze(names),
    ...(shadows && { shadows }),
    service: compileServices(document.services),
    sourceNetwork: compileSourceNetworks(document.source_networks, reader),
    parseNamespace: (namespace) => template.parse(namespace),
    warmNamespaces: Object.freeze([...new Set(document.warm_namespaces)]),
    batch: compileBatch(
      document.batch,
      { ...known, services: document.services.map(({ name }) => name) },
      version,
      reader,
    ),
    explain: compileExplain(decisions, {
      access,
      clientUrl,
      services: names,
      comparesUserId: document.user_id !== undefined && !shadowUserId,
    }),
  });
}

/** The document's own template, or the default one so that the rest can still be checked. */
function templateOf(targets: TargetsEntry, reader: Reader): NamespaceTemplate {
  const compiled = compileNamespaceTemplate(targets.namespace, targets.environments);
  if (!(compiled instanceof TemplateProblem)) return compiled;
  reader.refuseAt(targets, compiled.field, compiled.message);
  return defaultTemplate;
}

function checkTargets(targets: TargetsEntry, template: NamespaceTemplate, reader: Reader): void {
  for (const environment of targets.environment_by_host.values()) {
    if (template.isEnvironment(environment)) continue;
    reader.refuseAt(
      targets,
      'environment_by_host',
      `environment "${environment}" is not allowed: use ${template.environmentAllowed}`,
    );
  }
}

function checkNames(document: PolicyDocument, reader: Reader): void {
  const seen = new Set<string>();
  for (const entry of [...document.services, ...document.source_networks]) {
    if (seen.has(entry.name)) reader.refuseAt(entry, 'name', `name ${entry.name} is given twice`);
    seen.add(entry.name);
  }
}

/** Settings that decisions depend on are part of the version, too. */
function versionOf(text: string, options: PolicyOptions): string {
  return createHash('sha256')
    .update(JSON.stringify({ ...options, observer: undefined }))
    .update('\0')
    .update(text)
    .digest('hex')
    .slice(0, 12);
}

// What the rules of a policy that are in shadow mode would do.

interface Parts {
  readonly access: AccessRules;
  readonly config: ConfigRules;
  /** undefined: the rule is enforced, or there is none. */
  readonly userId: ((caller: Caller, userId: string) => GatewayError | undefined) | undefined;
}

/** undefined: no rule is in shadow mode. */
function compileShadows({
  access,
  config,
  userId,
}: Parts): ((request: ShadowRequest) => readonly ShadowFinding[]) | undefined {
  if (!access.hasShadows && !config.shadows && !userId) return undefined;
  return (request) => {
    const found: ShadowFinding[] = [];
    const allowing = access.allows(request) ? undefined : access.shadowFor(request);
    if (allowing !== undefined) {
      found.push({ rule: allowing, refusal: undefined, message: 'no other rule allows it' });
    }
    const refusal = userId?.(request.caller, request.userId);
    if (refusal) found.push({ rule: 'user_id', refusal, message: refusal.message });
    const refused = config.shadows?.(request);
    if (refused) found.push(refused);
    return found;
  };
}
