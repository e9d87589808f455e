/** Where a role has its routing policy from: a file, a custom resource, or the control plane. */
import type { IssuerKeyState } from '../authz/token/verifier.js';
import { join } from 'node:path';
import type { ChannelCredentials, Server } from '@grpc/grpc-js';
import pLimit from 'p-limit';
import type { Logger } from 'pino';
import type { ShadowTally } from '../authz/shadow.js';
import { formatAddress } from '../model/address.js';
import type { SeenRequest } from '../model/assignment.js';
import type { Clock, Timer } from '../model/clock.js';
import { GatewayError, toGatewayError } from '../model/errors.js';
import type { FleetProblem, ProblemSource } from '../model/fleet-problem.js';
import type { Ledger } from '../model/ledger.js';
import type { DiffPolicy, PolicyDiffAnswer } from '../model/policy-diff.js';
import type { Policy, PolicyObserver } from '../model/policy.js';
import type { SidecarPolicy } from '../model/reports.js';
import { compileAside } from '../policy/aside/compile-aside.js';
import type { PolicyOptions } from '../policy/compile.js';
import { diffPolicies } from '../policy/diff.js';
import { inSlices } from '../policy/match.js';
import { PolicyDistribution, RemotePolicy } from '../policy/sources/distribution.js';
import { KeptPolicy, type PolicySource } from '../policy/sources/last-good.js';
import { PolicyFile } from '../policy/sources/policy-file.js';
import { PolicyResource } from '../policy/sources/policy-resource.js';
import { policyOptions } from '../settings/policy-options.js';
import type { Settings } from '../settings/table.js';
import { recent } from '../lib/recent.js';
import type { KubernetesAccess } from './kubernetes.js';

interface Context {
  readonly clock: Clock;
  readonly logger: Logger;
}

/** The policy of a control plane. */
export interface OwnPolicy extends ProblemSource {
  readonly source: PolicySource;
  /** Serves it to sidecars that cannot read it themselves. */
  addTo(server: Server): void;
  /** To be called when this replica begins to lead. */
  leads(): void;
  /** Ends what sidecars have open. */
  endCalls(error: GatewayError): void;
  close(): Promise<void>;
}

/** undefined: the signal fired while there was no policy yet. Rejects with POLICY_INVALID when a file is not good. */
export async function openOwnPolicy(
  settings: Settings,
  {
    access,
    leading,
    clock,
    logger,
  }: Context & {
    /** Where the resource is, if one is named. */
    readonly access: KubernetesAccess | undefined;
    readonly leading: () => boolean;
  },
  stop: AbortSignal,
): Promise<OwnPolicy | undefined> {
  const compile = policyOptions(settings);
  const { policyFile, policyResource } = settings;
  if (policyResource === undefined || !access) {
    const file = await PolicyFile.open(policyFile, { compile, clock, logger });
    return {
      source: file,
      addTo: () => undefined,
      leads: () => undefined,
      problems: () => problemsOf(file),
      endCalls: () => undefined,
      close: async () => file.close(),
    };
  }
  const { namespace, home } = access;
  logger.info(`the policy is RoutingPolicy ${namespace}/${policyResource}`);
  const resource = await PolicyResource.open(
    {
      api: home.api,
      namespace,
      name: policyResource,
      compile,
      kept: kept(settings, 'control-plane', logger),
      leads: leading,
      clock,
      logger,
    },
    stop,
  );
  if (!resource) return undefined;
  const distribution = new PolicyDistribution(resource);
  return {
    source: resource,
    addTo: (server) => distribution.addTo(server),
    leads: () => resource.report(),
    problems: () =>
      problemsOf(resource).map((problem) => ({ ...problem, object: resource.reference })),
    endCalls: (error) => distribution.close(error),
    close: () => resource.close(),
  };
}

/** The policy of who is no control plane; undefined: the signal fired while there was none yet. */
export async function openSidecarPolicy(
  settings: Settings,
  {
    role = 'authz',
    compile,
    credentials,
    clock,
    logger,
  }: Context & {
    readonly role?: 'authz' | 'playground';
    readonly compile: PolicyOptions;
    readonly credentials: ChannelCredentials;
  },
  stop: AbortSignal,
): Promise<PolicySource | undefined> {
  const { assignments, mtls, policyFile, policyResource } = settings;
  if (policyResource === undefined) {
    return PolicyFile.open(policyFile, { compile, clock, logger });
  }
  return RemotePolicy.open(
    {
      address: formatAddress(assignments.connectAddr),
      serverName: mtls.serverName,
      credentials,
      compile,
      kept: kept(settings, role, logger),
      clock,
      logger,
    },
    stop,
  );
}

/** Parts that share a folder keep a copy each. */
function kept({ stateDir }: Settings, role: string, logger: Logger): KeptPolicy {
  return new KeptPolicy(join(stateDir, `policy-of-${role}.yaml`), logger);
}

function problemsOf({ status: { error } }: PolicySource): FleetProblem[] {
  return error === undefined ? [] : [{ kind: 'policy_invalid', message: error }];
}

// The policy that is tried out beside the one in force.

interface ShadowPolicy {
  /** undefined: there is none, or its file has not been good so far. */
  current(): Policy | undefined;
  /** undefined: none is named. */
  status(): ShadowPolicyStatus | undefined;
  close(): void;
}

export interface ShadowPolicyStatus {
  /** Of the one that is tried out; undefined: there is none. */
  readonly version: string | undefined;
  /** Why what the file says last is not tried out: every mistake, one on each line. */
  readonly problem: string | undefined;
}

interface Options {
  readonly compile: PolicyOptions;
  readonly clock: Clock;
  readonly logger: Logger;
}

const LOOK_AGAIN_MS = 5000;

/** A file that is missing or has a mistake is looked at again later: trying out stops nothing. */
export function openShadowPolicy(path: string | undefined, options: Options): ShadowPolicy {
  let file: PolicyFile | undefined;
  let timer: Timer | undefined;
  let told: string | undefined;
  let closed = false;
  const { clock } = options;
  const logger = options.logger.child({ policy: 'shadow' });

  async function open(from: string): Promise<void> {
    try {
      const opened = await PolicyFile.open(from, { ...options, logger });
      if (closed) opened.close();
      else file = opened;
    } catch (thrown) {
      const { message: error } = toGatewayError(thrown);
      if (error !== told)
        logger.error({ error }, 'the shadow policy is not good; it is not tried out');
      told = error;
      if (!closed) timer = clock.setTimer(LOOK_AGAIN_MS, () => void open(from));
    }
  }
  if (path !== undefined) void open(path);
  return {
    current: () => file?.current,
    status() {
      if (path === undefined) return undefined;
      return file
        ? { version: file.status.version, problem: file.status.error }
        : { version: undefined, problem: told };
    },
    close() {
      closed = true;
      timer?.cancel();
      file?.close();
    },
  };
}

// What a sidecar tells the control plane of the policy that it decides by.

export function sidecarPolicy(
  policy: Pick<PolicySource, 'status'>,
  candidate: Pick<ShadowPolicy, 'status'>,
  { counts, examples }: ShadowTally,
  issuerKeys: readonly IssuerKeyState[],
): SidecarPolicy {
  const { version, error: problem } = policy.status;
  const tried = candidate.status();
  const shadow =
    tried || counts.length > 0
      ? { version: tried?.version, problem: tried?.problem, counts, examples }
      : undefined;
  const issuers = issuerKeys.flatMap(({ issuer, problem: why, fetchedAtMs }) =>
    why === undefined ? [] : [{ issuer, problem: why, keysKnown: fetchedAtMs !== undefined }],
  );
  return { version, problem, shadow, issuers };
}

// What a policy would change, said by the leader: it knows the sessions and, from its sidecars, who has them.

export interface PolicyDiffOptions {
  /** In force. */
  readonly policy: () => Policy;
  readonly compile: PolicyOptions;
  readonly ledger: Pick<Ledger, 'all'>;
  readonly seen: { list(): readonly SeenRequest[] };
}

/** That are under way or wait; each holds its text. */
const MOST_AT_A_TIME = 8;
/** For the turn and the comparison. */
const LIMIT_MS = 60_000;

function tooMany(): GatewayError {
  return new GatewayError(
    'POLICY_DIFF_BUSY',
    'Too many policies are being compared, or this one takes too long. Try again later, or with a smaller one.',
    { retryAfterMs: 10_000 },
  );
}

/** One at a time, beside what else this process does. */
export function policyDiffer({ policy, compile, ledger, seen }: PolicyDiffOptions): DiffPolicy {
  async function diff(text: string, signal: AbortSignal): Promise<PolicyDiffAnswer> {
    try {
      const candidate = await compileAside({ text, file: 'candidate' }, compile, signal);
      const records = [...ledger.all()].filter(({ phase }) => phase !== 'gone');
      const present = {
        sessions: records.flatMap(({ namespace, sessions }) =>
          Object.values(sessions).map(({ sessionId, principal }) => ({
            session: sessionId,
            principal,
            namespace,
          })),
        ),
        seen: seen.list(),
        namespaces: records.map(({ namespace }) => namespace),
      };
      return await inSlices(diffPolicies(policy(), candidate.policy, present), signal);
    } catch (error) {
      if (!(error instanceof GatewayError) || error.code !== 'POLICY_INVALID') throw error;
      return { problems: error.message.split('\n') };
    }
  }
  const turn = pLimit(1);
  return (text, asked) => {
    if (turn.activeCount + turn.pendingCount >= MOST_AT_A_TIME) return Promise.reject(tooMany());
    const signal = AbortSignal.any([asked, AbortSignal.timeout(LIMIT_MS)]);
    return turn(() => {
      signal.throwIfAborted();
      return diff(text, signal);
    }).catch((error: unknown) => {
      throw signal.aborted && !asked.aborted ? tooMany() : error;
    });
  };
}

// What a policy meets while it decides, counted, and logged once for each rule.

const REMEMBERED = 10_000;

export function policyObserver(metrics: PolicyObserver, logger: Logger): PolicyObserver {
  const logged = recent<string, true>(REMEMBERED);
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
