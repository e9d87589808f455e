/** What the control plane's HTTP port offers beside metrics and health. */
import type { Logger } from 'pino';
import { PolicyTokens } from '../authz/token/policy-tokens.js';
import { TokenVerifier } from '../authz/token/verifier.js';
import { actionRoutes } from '../console/actions.js';
import { readRoutes } from '../console/api.js';
import { BearerIdentification } from '../console/bearer.js';
import { createConsole, createSignIn } from '../console/console.js';
import { Gatekeeper } from '../console/gatekeeper.js';
import { RecentActions } from '../console/live/recent-actions.js';
import { type CallLeader, remoteDiff, RemoteOperations } from '../console/replicas/client.js';
import type { ConsoleSources } from '../console/sources.js';
import { text } from '../http/answer.js';
import type { Routes } from '../http/router.js';
import type { RequestSample } from '../model/admin-api.js';
import type { AdminAction, AuditSink } from '../model/audit.js';
import type { Clock } from '../model/clock.js';
import type { Ledger } from '../model/ledger.js';
import type { Policy } from '../model/policy.js';
import type { ReplicaReport } from '../model/reports.js';
import { PolicyHistory } from '../policy/history.js';
import type { PolicySource } from '../policy/last-good.js';
import type { PoolController } from '../pools/controller.js';
import type { ProblemBoard } from '../problems/board.js';
import type { DiscoveryHub } from '../xds/hub.js';
import type { ConsoleParts } from './console.js';
import type { Leader } from './leader.js';
import { version } from './version.js';

export interface AdminParts {
  readonly pools: PoolController;
  readonly xds: DiscoveryHub;
  readonly ledger: Ledger;
  /** While this replica leads. */
  readonly leader: () => Leader | undefined;
  /** Asks the leader elsewhere. */
  readonly toLeader: CallLeader;
  readonly audit: Pick<AuditSink, 'adminAction'>;
  readonly replica: () => ReplicaReport;
  readonly policy: PolicySource;
  readonly problems: ProblemBoard;
  readonly console: ConsoleParts | undefined;
  /** How the RPCs went that ended since it was asked last; undefined on a replica that is not told. */
  readonly takeRequests: () => RequestSample | undefined;
  readonly clock: Clock;
  readonly logger: Logger;
}

export interface AdminRoutes {
  readonly routes: Routes;
  close(): void;
}

export function adminRoutes(parts: AdminParts): AdminRoutes {
  const { pools, policy, leader, clock, logger } = parts;
  const elsewhere = new RemoteOperations(parts.toLeader);
  const current = () => leader()?.operations ?? elsewhere;
  const verifier = new TokenVerifier({ clock, logger });
  const inForce = () => policy.current;
  const tokens = new PolicyTokens(verifier, inForce);
  const signIn = parts.console && createSignIn(parts.console.signIn, { tokens, clock, logger });
  const gatekeeper = new Gatekeeper({
    identifications: [new BearerIdentification(tokens), ...(signIn ? [signIn.session] : [])],
    policy: inForce,
    clock,
  });
  const sources = consoleSources(parts);
  const actions = new RecentActions(clock);
  const audit = {
    adminAction(action: AdminAction) {
      parts.audit.adminAction(action);
      actions.note(action);
    },
  };
  const { takeRequests } = parts;
  const page =
    parts.console &&
    signIn &&
    createConsole({
      assets: parts.console.assets,
      signIn,
      sources,
      gatekeeper,
      actions,
      takeRequests,
      clock,
    });
  return {
    routes: {
      ...page?.routes,
      ...readRoutes(sources, gatekeeper),
      ...actionRoutes({
        operations: {
          drain: (...action) => current().drain(...action),
          evict: (...action) => current().evict(...action),
          release: (...action) => current().release(...action),
        },
        gatekeeper,
        audit,
        clock,
      }),
      'GET /readyz/pools': () => {
        const missing = missingDrivers(pools, inForce());
        return text(missing ?? 'ok', missing === undefined ? 200 : 503);
      },
    },
    close() {
      page?.close();
      verifier.close();
    },
  };
}

function consoleSources({
  pools,
  xds,
  ledger,
  leader,
  replica,
  policy,
  problems,
  toLeader,
}: AdminParts): ConsoleSources {
  const elsewhere = remoteDiff(toLeader);
  const history = new PolicyHistory();
  history.note(policy.status);
  policy.onChange(() => history.note(policy.status));
  return {
    version: version(),
    ledger,
    fleet: () => pools.report(),
    problems: () => problems.list(),
    envoys: () => xds.nodes(),
    sidecars: () => leader()?.notices.sidecars() ?? [],
    replica,
    activity: (session) => leader()?.activityOf(session),
    policy: () => policy.current,
    diffPolicy: (candidate) => (leader()?.diffPolicy ?? elsewhere)(candidate),
    policyReport: () => {
      const { error, ...revision } = policy.status;
      return { ...revision, source: policy.source, problem: error };
    },
    policyHistory: () => history.revisions,
  };
}

/** Which warm pool has no driver yet, and why; undefined when each has one. */
function missingDrivers(pools: PoolController, policy: Policy): string | undefined {
  const { pools: reports } = pools.report();
  for (const namespace of policy.warmNamespaces) {
    const pool = reports.find(
      (report) => report.namespace === namespace && report.variant === undefined,
    );
    const size = pool?.size ?? policy.pool(namespace)?.size ?? 0;
    if (size === 0 || (pool && pool.available + pool.inUse > 0)) continue;
    const failure = pool?.failure === undefined ? '' : `: ${pool.failure}`;
    return `a first driver of ${namespace} (${pool?.warming ?? 0} starting)${failure}`;
  }
  return undefined;
}
