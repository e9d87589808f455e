/** The admin API behind a real HTTP server, over the real ledger, with a real issuer of tokens. */
import type { ExecutionContext } from 'ava';
import { pino } from 'pino';
import { PolicyTokens, TokenVerifier } from '../../src/authz/token/verifier.js';
import { type ActionOptions, actionRoutes } from '../../src/console/actions.js';
import { ownSessionRoutes } from '../../src/console/own-sessions.js';
import { readRoutes } from '../../src/console/read-routes.js';
import { Gatekeeper } from '../../src/console/gatekeeper.js';
import { BearerIdentification } from '../../src/sign-in/identify.js';
import type { ConsoleSources, SeenActivity } from '../../src/console/console-sources.js';
import { startHttpServer } from '../../src/lib/http/http-server.js';
import type { Operations } from '../../src/model/administration.js';
import type { AdminAction } from '../../src/model/audit.js';
import type { DriverRecord, ObservedDriver } from '../../src/model/driver.js';
import { GatewayError } from '../../src/model/errors.js';
import type { DiffPolicy } from '../../src/model/policy-diff.js';
import type { SeenRequest } from '../../src/model/assignment.js';
import { policyDiffer } from '../../src/processes/role-policy.js';
import type { FleetProblem } from '../../src/model/fleet-problem.js';
import type {
  ConnectedEnvoy,
  FleetReport,
  ReplicaReport,
  SidecarStatus,
} from '../../src/model/reports.js';
import { compilePolicy } from '../../src/policy/compile.js';
import { fleetReport } from '../../src/fleet/fleet-report.js';
import { openLedger } from '../../src/fleet/records/ledger.js';
import { options as policyOptions } from '../policy/support.js';
import { TestLeadership } from './leadership.js';
import { ManualClock } from './manual-clock.js';
import { MemoryStore } from './memory-store.js';
import { TokenIssuer } from './token-issuer.js';
import { unusedAddress } from './loopback.js';

/** Where its server and its issuer listen. */
const HOST = await unusedAddress();

export interface AdminApiOptions {
  readonly records?: readonly DriverRecord[];
  /** The same, for those that name the issuer of its tokens. */
  readonly recordsOf?: (issuer: string) => readonly DriverRecord[];
  readonly observed?: readonly Pick<ObservedDriver, 'uid' | 'condition' | 'node'>[];
  readonly fleet?: Partial<FleetReport>;
  readonly problems?: readonly FleetProblem[];
  readonly driverEvents?: ConsoleSources['driverEvents'];
  readonly envoys?: readonly ConnectedEnvoy[];
  /** Why what other replicas know is not known. */
  readonly unknown?: string;
  readonly replica?: Partial<ReplicaReport>;
  readonly activity?: (sessionId: string) => SeenActivity | undefined;
  readonly operations?: Partial<Operations>;
  readonly sidecars?: readonly SidecarStatus[];
  /** Told by sidecars. */
  readonly seen?: readonly SeenRequest[];
  /** More of the policy, as YAML. */
  readonly policy?: string;
  /** Asks another replica instead. */
  readonly diffPolicy?: DiffPolicy;
}

export interface AdminApi {
  readonly url: string;
  readonly clock: ManualClock;
  readonly issuer: TokenIssuer;
  /** What was recorded, in order. */
  readonly actions: readonly AdminAction[];
  /** Asks as someone with this token; without one if it is undefined. */
  ask(
    path: string,
    init?: RequestInit & { readonly token?: string | undefined },
  ): Promise<Response>;
  /** What a GET by someone with the role "read" shows. */
  read<T = unknown>(path: string): Promise<T>;
  tokenOf(person: 'reader' | 'operator' | 'nobody'): Promise<string>;
}

export async function startAdminApi(
  t: ExecutionContext,
  options: AdminApiOptions = {},
): Promise<AdminApi> {
  const clock = new ManualClock();
  const logger = pino({ enabled: false });
  const issuer = await TokenIssuer.start('corporate', HOST);
  const text = `${policyText(issuer.url)}${options.policy ?? ''}`;
  const policy = compilePolicy(text, 'policy.yaml', policyOptions);
  const verifier = new TokenVerifier({ clock, logger });
  const gatekeeper = new Gatekeeper({
    identifications: [new BearerIdentification(new PolicyTokens(verifier, () => policy))],
    policy: () => policy,
    clock,
  });
  const store = new MemoryStore();
  const records = options.recordsOf?.(issuer.url) ?? options.records ?? [];
  for (const record of records) await store.write(record, undefined);
  const leadership = new TestLeadership();
  const ledger = await openLedger({ store, leadership, clock, logger });
  const observed = new Map((options.observed ?? []).map((driver) => [driver.uid, driver]));
  const sources: ConsoleSources = {
    version: '1.2.3',
    ledger,
    fleet: () => ({
      ...fleetReport({
        records: [...ledger.all()],
        pools: [],
        observed: (uid) => observed.get(uid) as ObservedDriver | undefined,
        routable: (uid) => observed.has(uid),
        pool: ({ namespace }) => policy.pool(namespace),
        outdated: () => false,
        waiting: () => 0,
        status: () => ({ drivers: 0, maximum: 0, warming: 0, failure: undefined, retryInMs: 0 }),
        lastReadMs: clock.now(),
        readError: undefined,
        writeError: undefined,
      }),
      ...options.fleet,
    }),
    problems: () =>
      (options.problems ?? []).map((problem) => ({ ...problem, sinceMs: clock.now() })),
    ...(options.driverEvents ? { driverEvents: options.driverEvents } : {}),
    envoys: () => options.envoys ?? [],
    unknown: () => options.unknown,
    hearsLeader: () => options.unknown === undefined,
    sidecars: () => options.sidecars ?? [],
    replica: () => ({ epoch: 7, leader: undefined, problem: undefined, ...options.replica }),
    activity: ({ sessionId }) => options.activity?.(sessionId),
    policy: () => policy,
    diffPolicy:
      options.diffPolicy ??
      policyDiffer({
        policy: () => policy,
        compile: policyOptions,
        ledger,
        seen: { list: () => options.seen ?? [] },
      }),
    policyReport: () => ({ ...revision, source: 'policy.yaml', problem: undefined }),
    policyHistory: () => [revision],
  };
  const revision = {
    version: policy.version,
    loadedAtMs: clock.now(),
    text,
  };
  const actions: AdminAction[] = [];
  const acting: ActionOptions = {
    operations: { ...noOperations, ...options.operations },
    gatekeeper,
    audit: { adminAction: (action) => void actions.push(action) },
    clock,
  };
  const server = await startHttpServer({
    address: { host: HOST, port: 0 },
    routes: {
      ...readRoutes(sources, gatekeeper),
      ...actionRoutes(acting),
      ...ownSessionRoutes(sources, acting),
    },
    logger,
  });
  t.teardown(async () => {
    await server.close();
    await issuer.close();
    verifier.close();
  });
  const url = `http://${HOST}:${server.port}`;
  const ask: AdminApi['ask'] = (path, { token, ...init } = {}) =>
    fetch(`${url}/api/v1/${path}`, {
      ...init,
      headers: token === undefined ? {} : { authorization: `Bearer ${token}` },
    });
  const tokenOf: AdminApi['tokenOf'] = (person) =>
    issuer.token(clock.now(), { sub: `${person}@example.com` });
  return {
    url,
    clock,
    issuer,
    actions,
    ask,
    tokenOf,
    read: async <T>(path: string) =>
      (await (await ask(path, { token: await tokenOf('reader') })).json()) as T,
  };
}

const nothing = () => Promise.reject(new GatewayError('DRIVER_UNKNOWN', 'There is nothing.'));
const noOperations: Operations = {
  drain: nothing,
  undrain: nothing,
  evict: nothing,
  release: nothing,
};

function policyText(issuer: string): string {
  return `apiVersion: spark-gateway/v1alpha1
kind: RoutingPolicy
issuers: [{ issuer: "${issuer}", audiences: ["api://spark"] }]
access: []
administration:
  read: [{ principals: [reader@example.com] }]
  admin: [{ principals: [operator@example.com] }]
pools: [{ size: 2, maximum: 4 }]
warm_namespaces: [sjns-ads-dev]
`;
}
