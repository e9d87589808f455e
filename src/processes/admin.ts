/** What the control plane's HTTP port offers beside metrics and health. */
import type { Logger } from 'pino';
import type { Registry } from 'prom-client';
import { PolicyTokens, type IssuerKeyState, TokenVerifier } from '../authz/token/verifier.js';
import { type ActionOptions, actionRoutes } from '../console/actions.js';
import { loginRoutes, readRoutes } from '../console/read-routes.js';
import { consoleAssets } from '../console/console-assets.js';
import type { Assets } from '../lib/http/assets.js';
import { consolePage, createConsole } from '../console/console.js';
import { createSignIn, type SignInSettings } from '../sign-in/create.js';
import { BearerIdentification } from '../sign-in/identify.js';
import { Gatekeeper } from '../console/gatekeeper.js';
import { RecentActions } from '../console/live/requests.js';
import { issuerProblems } from '../console/issuer-problems.js';
import { KubernetesRights, type KubernetesRightsOptions } from '../console/kubernetes-rights.js';
import { ownSessionRoutes } from '../console/own-sessions.js';
import { remoteDiff, RemoteOperations } from '../console/replicas.js';
import type { CallLeader } from '../lib/grpc/forward.js';
import type { SharedFleet } from '../console/shared-fleet.js';
import type { EndedSessions } from '../sign-in/ended-sessions.js';
import type { ConsoleSources } from '../console/console-sources.js';
import type { PoolController } from '../fleet/controller.js';
import { text } from '../lib/http/answer.js';
import type { Routes } from '../lib/http/router.js';
import {
  type HttpServerOptions,
  type HttpServer,
  startHttpServer,
} from '../lib/http/http-server.js';
import type { TcpAddress } from '../model/address.js';
import type { LoginView, RequestSample } from '../model/admin-api.js';
import type { AdminAction, AuditSink } from '../model/audit.js';
import type { Clock } from '../model/clock.js';
import type { Ledger } from '../model/ledger.js';
import type { Policy } from '../model/policy.js';
import type { IssuerProblem, ReplicaReport } from '../model/reports.js';
import { PolicyHistory, type PolicySource } from '../policy/sources/last-good.js';
import { type Settings, localAdminUrl } from '../settings/table.js';
import type { Leader } from './leader.js';
import { version } from './process.js';
import { clientSecretOf, issuerOf } from './sign-in.js';
import type { ProblemBoard } from './telemetry.js';

export interface AdminParts {
  readonly pools: PoolController;
  readonly ledger: Ledger;
  /** While this replica leads. */
  readonly leader: () => Leader | undefined;
  /** Asks the leader elsewhere. */
  readonly toLeader: CallLeader;
  readonly shared: SharedFleet;
  /** Sessions of the console that have left. */
  readonly ended: EndedSessions;
  readonly audit: Pick<AuditSink, 'adminAction'>;
  readonly replica: () => ReplicaReport;
  readonly policy: PolicySource;
  readonly problems: ProblemBoard;
  readonly console: ConsoleParts | undefined;
  readonly driverEvents: ConsoleSources['driverEvents'];
  /** Lets those in who have rights in the cluster; undefined: it does not. */
  readonly kubernetes?: Omit<KubernetesRightsOptions, 'clock'> | undefined;
  /** How the RPCs went that ended since it was asked last; undefined on a replica that is not told. */
  readonly takeRequests: () => RequestSample | undefined;
  readonly clock: Clock;
  readonly logger: Logger;
}

export interface AdminRoutes {
  readonly routes: Routes;
  /** Token issuers whose keys this replica cannot fetch. */
  issuers(): readonly IssuerProblem[];
  close(): void;
}

export function adminRoutes(parts: AdminParts): AdminRoutes {
  const { pools, policy, problems, leader, shared, ended, kubernetes, clock, logger } = parts;
  const elsewhere = new RemoteOperations(parts.toLeader);
  const current = () => leader()?.operations ?? elsewhere;
  const verifier = new TokenVerifier({ clock, logger });
  const inForce = () => policy.current;
  const tokens = new PolicyTokens(verifier, inForce);
  // Not only when somebody asks: an issuer without keys is a problem that is to be told.
  const knowIssuers = () => void verifier.useIssuers(inForce().issuers);
  knowIssuers();
  policy.onChange(knowIssuers);
  problems.add({ problems: () => issuerProblems(shared.issuers()) });
  const signIn =
    parts.console && createSignIn(parts.console.signIn, { tokens, ended, clock, logger });
  const gatekeeper = new Gatekeeper({
    identifications: [
      ...(kubernetes ? [new KubernetesRights({ ...kubernetes, clock })] : []),
      new BearerIdentification(tokens),
      ...(signIn ? [signIn.session] : []),
    ],
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
  const acting: ActionOptions = {
    operations: {
      drain: (...action) => current().drain(...action),
      undrain: (...action) => current().undrain(...action),
      evict: (...action) => current().evict(...action),
      release: (...action) => current().release(...action),
    },
    gatekeeper,
    audit,
    clock,
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
      ...loginRoutes(parts.console?.login),
      ...actionRoutes(acting),
      ...ownSessionRoutes(sources, acting),
      'GET /readyz/pools': () => {
        const missing = missingDrivers(pools, inForce());
        return text(missing ?? 'ok', missing === undefined ? 200 : 503);
      },
    },
    issuers: () => issuersWithout(verifier.issuerKeys()),
    close() {
      page?.close();
      verifier.close();
    },
  };
}

function consoleSources({
  pools,
  ledger,
  leader,
  replica,
  policy,
  toLeader,
  shared,
  driverEvents,
}: AdminParts): ConsoleSources {
  const elsewhere = remoteDiff(toLeader);
  const history = new PolicyHistory();
  history.note(policy.status);
  policy.onChange(() => history.note(policy.status));
  return {
    version: version(),
    ledger,
    fleet: () => shared.fleet(pools.report()),
    problems: () => shared.problems(),
    ...(driverEvents ? { driverEvents } : {}),
    envoys: () => shared.envoys(),
    unknown: () => shared.unknown(),
    hearsLeader: () => shared.hearsLeader,
    sidecars: () => shared.sidecars(),
    replica,
    activity: (session) => leader()?.activityOf(session) ?? shared.activity(session.sessionId),
    policy: () => policy.current,
    diffPolicy: (candidate, signal) => (leader()?.diffPolicy ?? elsewhere)(candidate, signal),
    policyReport: () => {
      const { error, ...revision } = policy.status;
      return { ...revision, source: policy.source, problem: error };
    },
    policyHistory: () => history.revisions,
  };
}

/** Those whose keys this replica cannot fetch. */
function issuersWithout(issuers: readonly IssuerKeyState[]): readonly IssuerProblem[] {
  return issuers.flatMap(({ issuer, problem, fetchedAtMs }) =>
    problem === undefined ? [] : [{ issuer, problem, keysKnown: fetchedAtMs !== undefined }],
  );
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

// What the console takes from the settings and from the place that the control plane runs in.

interface ConsoleParts {
  readonly signIn: SignInSettings;
  readonly assets: Assets;
  /** For the command line; undefined: it has no client there. */
  readonly login: LoginView | undefined;
}

/** undefined: no issuer is named with which people could sign in, and there is no console. */
export async function consoleParts(
  settings: Settings,
  secret: () => Promise<Uint8Array>,
): Promise<ConsoleParts | undefined> {
  const signIn = await signInSettings(settings, secret);
  return signIn && { signIn, assets: await consoleAssets(), login: loginOf(settings, signIn) };
}

function loginOf({ console: own }: Settings, signIn: SignInSettings): LoginView | undefined {
  const ofConsole = signIn.clientSecret === undefined ? signIn.clientId : undefined;
  const clientId = own.loginClientId ?? ofConsole;
  return clientId === undefined
    ? undefined
    : { issuer: signIn.issuer, clientId, scope: own.loginScope };
}

async function signInSettings(
  settings: Settings,
  secret: () => Promise<Uint8Array>,
): Promise<SignInSettings | undefined> {
  const { console: own } = settings;
  const issuer = issuerOf(settings, own);
  if (!issuer) return undefined;
  return {
    ...issuer,
    clientSecret: await clientSecretOf(own.clientSecretFile, 'console.client_secret_file'),
    scope: own.scope,
    page: consolePage,
    publicUrl: new URL(own.publicUrl ?? localAdminUrl(settings)),
    secret: await secret(),
    sessionTtlMs: own.sessionTtlMs,
  };
}

/** The certificate of the admin port; undefined: it speaks plain HTTP. */
export function adminTls({ admin }: Settings, clock: Clock): HttpServerOptions['tls'] {
  const { certFile, keyFile } = admin;
  return certFile === undefined || keyFile === undefined ? undefined : { certFile, keyFile, clock };
}

// The HTTP port of a role: metrics for Prometheus, liveness and readiness, and what the role adds.

/** undefined: ready. Otherwise what is still missing, for people. */
export type Readiness = () => string | undefined;

export interface AdminServerOptions {
  readonly address: TcpAddress;
  readonly registry: Registry;
  readonly readiness: Readiness;
  readonly routes?: Routes;
  readonly logger: Logger;
  readonly httpsOnly?: boolean;
  /** undefined: plain HTTP. */
  readonly tls?: HttpServerOptions['tls'];
}

/** Rejects when the address cannot be listened on, or the certificate not be used (SETTINGS_INVALID). */
export function startAdminServer(options: AdminServerOptions): Promise<HttpServer> {
  const { address, registry, readiness, logger, httpsOnly = false, tls } = options;
  return startHttpServer({
    address,
    logger,
    httpsOnly,
    tls,
    routes: {
      'GET /metrics': async () => ({
        status: 200,
        headers: { 'content-type': registry.contentType },
        body: await registry.metrics(),
      }),
      'GET /healthz': () => text('ok'),
      'GET /readyz': () => {
        const missing = readiness();
        return text(missing ?? 'ok', missing === undefined ? 200 : 503);
      },
      ...options.routes,
    },
  });
}
