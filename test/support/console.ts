/** The console behind a real HTTP server, over a real ledger, with the development issuer. */
import type { ExecutionContext } from 'ava';
import { pino } from 'pino';
import { PolicyTokens, TokenVerifier } from '../../src/authz/token/verifier.js';
import { type ActionOptions, actionRoutes } from '../../src/console/actions.js';
import { ownSessionRoutes } from '../../src/console/own-sessions.js';
import { loginRoutes, readRoutes } from '../../src/console/read-routes.js';
import { consoleAssets } from '../../src/console/console-assets.js';
import { Gatekeeper } from '../../src/console/gatekeeper.js';
import { consolePage, createConsole } from '../../src/console/console.js';
import { createSignIn } from '../../src/sign-in/create.js';
import { BearerIdentification } from '../../src/sign-in/identify.js';
import { RecentActions, RequestTally } from '../../src/console/live/requests.js';
import { EndedSessions } from '../../src/sign-in/ended-sessions.js';
import type { ConsoleSources } from '../../src/console/console-sources.js';
import { type HttpServer, startHttpServer } from '../../src/lib/http/http-server.js';
import { type DevelopmentIssuer, startDevelopmentIssuer } from '../../src/issuer/issuer-server.js';
import type { Operations } from '../../src/model/administration.js';
import type { AdminAction } from '../../src/model/audit.js';
import { systemClock } from '../../src/model/clock.js';
import type { DriverRecord, ObservedDriver } from '../../src/model/driver.js';
import { GatewayError } from '../../src/model/errors.js';
import type { NodeStatus, PoolReport, SidecarStatus } from '../../src/model/reports.js';
import type { SeenRequest } from '../../src/model/assignment.js';
import { compilePolicy } from '../../src/policy/compile.js';
import { fleetReport } from '../../src/fleet/fleet-report.js';
import { policyDiffer } from '../../src/processes/role-policy.js';
import { options as policyOptions } from '../policy/support.js';
import { sharedKeysFile } from './token-issuer.js';
import { unusedPort } from './unused-port.js';

const AUDIENCE = 'api://spark-gateway';
const CLIENT_ID = 'console';

/** What the console looks at; a test changes it as it likes. */
export interface World {
  records: Map<string, DriverRecord>;
  pools: readonly PoolReport[];
  envoys: readonly NodeStatus[];
  problems: readonly string[];
  policyProblem: string | undefined;
  sidecars: readonly SidecarStatus[];
  /** Told by sidecars. */
  seen: readonly SeenRequest[];
}

export interface TestConsole {
  readonly url: string;
  readonly issuer: DevelopmentIssuer;
  readonly world: World;
  readonly tally: RequestTally;
  /** What was recorded for audit. */
  readonly audited: readonly AdminAction[];
  /** The origins that a browser needs: the console's, and the issuer's. */
  readonly origins: readonly string[];
  /** Ends the server, as a crash does; `startServer` begins it again at the same address. */
  stopServer(): Promise<void>;
  startServer(): Promise<void>;
}

export interface TestConsoleOptions {
  readonly host: string;
  readonly sessionTtlMs?: number;
}

export async function startTestConsole(
  t: ExecutionContext,
  { host, sessionTtlMs = 3_600_000 }: TestConsoleOptions,
): Promise<TestConsole> {
  const logger = pino({ enabled: false });
  const clock = systemClock;
  const issuer = await startDevelopmentIssuer({
    address: { host, port: 0 },
    keysFile: sharedKeysFile(),
    audience: AUDIENCE,
    clientId: CLIENT_ID,
    tokenTtlMs: 3_600_000,
    clock,
    logger,
  });
  const text = policyText(issuer.url);
  const policy = compilePolicy(text, 'policy.yaml', policyOptions);
  const revision = { version: policy.version, loadedAtMs: clock.now(), text };
  const world: World = {
    records: new Map(),
    pools: [],
    envoys: [],
    problems: [],
    policyProblem: undefined,
    sidecars: [],
    seen: [],
  };
  const port = await unusedPort(host);
  const publicUrl = new URL(`http://${host}:${port}`);
  const verifier = new TokenVerifier({ clock, logger });
  const tokens = new PolicyTokens(verifier, () => policy);
  const signIn = createSignIn(
    {
      issuer: issuer.url,
      clientId: CLIENT_ID,
      clientSecret: undefined,
      scope: 'openid',
      page: consolePage,
      publicUrl,
      secret: Buffer.alloc(32, 'a secret of this test'),
      sessionTtlMs,
    },
    { tokens, ended: new EndedSessions(clock), clock, logger },
  );
  const gatekeeper = new Gatekeeper({
    identifications: [new BearerIdentification(tokens), signIn.session],
    policy: () => policy,
    clock,
  });
  const sources = sourcesOf(world, policy, revision);
  const audited: AdminAction[] = [];
  const actions = new RecentActions(clock);
  const tally = new RequestTally();
  const page = createConsole({
    sources,
    gatekeeper,
    signIn,
    assets: await consoleAssets(),
    actions,
    takeRequests: () => tally.take(),
    clock,
  });
  const acting: ActionOptions = {
    operations: operationsOn(world),
    gatekeeper,
    audit: {
      adminAction(action) {
        audited.push(action);
        actions.note(action);
      },
    },
    clock,
  };
  const routes = {
    ...page.routes,
    ...readRoutes(sources, gatekeeper),
    ...loginRoutes({ issuer: issuer.url, clientId: CLIENT_ID, scope: 'openid offline_access' }),
    ...actionRoutes(acting),
    ...ownSessionRoutes(sources, acting),
  };
  const address = { host, port };
  let server: HttpServer = await startHttpServer({ address, routes, logger });
  t.teardown(async () => {
    page.close();
    await server.close();
    await issuer.close();
    verifier.close();
  });
  return {
    url: publicUrl.origin,
    issuer,
    world,
    tally,
    audited,
    origins: [publicUrl.origin, issuer.url],
    stopServer: () => server.close(),
    async startServer() {
      server = await startHttpServer({ address, routes, logger });
    },
  };
}

function sourcesOf(
  world: World,
  policy: ReturnType<typeof compilePolicy>,
  revision: { readonly version: string; readonly loadedAtMs: number; readonly text: string },
): ConsoleSources {
  const observed = (uid: string) =>
    world.records.has(uid) ? ({ uid, condition: 'ready' } as ObservedDriver) : undefined;
  return {
    version: '1.2.3',
    ledger: {
      all: () => world.records.values(),
      get: (uid) => world.records.get(uid),
      bySession: (id) =>
        [...world.records.values()].find(
          ({ sessions, tombstones }) => id in sessions || id in tombstones,
        ),
    },
    fleet: () => ({
      ...fleetReport({
        records: [...world.records.values()],
        pools: [],
        observed,
        routable: () => true,
        pool: ({ namespace }) => policy.pool(namespace),
        outdated: () => false,
        waiting: () => 0,
        status: () => ({ drivers: 0, maximum: 0, warming: 0, failure: undefined, retryInMs: 0 }),
        lastReadMs: systemClock.now(),
        readError: undefined,
        writeError: undefined,
      }),
      pools: world.pools,
    }),
    problems: () =>
      world.problems.map((message) => ({
        kind: 'unreadable',
        message,
        sinceMs: systemClock.now(),
      })),
    envoys: () => world.envoys,
    hearsLeader: () => true,
    sidecars: () => world.sidecars,
    replica: () => ({ epoch: 7, leader: undefined, problem: undefined }),
    activity: ({ lastActiveMs }) => ({ lastActiveMs, openStreams: 1 }),
    policy: () => policy,
    diffPolicy: policyDiffer({
      policy: () => policy,
      compile: policyOptions,
      ledger: { all: () => world.records.values() },
      seen: { list: () => world.seen },
    }),
    policyReport: () => ({ ...revision, source: 'policy.yaml', problem: world.policyProblem }),
    policyHistory: () => [revision],
  };
}

function operationsOn({ records }: World): Operations {
  const known = (uid: string): DriverRecord => {
    const record = records.get(uid);
    if (!record) throw new GatewayError('DRIVER_UNKNOWN', `There is no driver ${uid}.`);
    return record;
  };
  return {
    async drain(uid, deadlineMs) {
      const record: DriverRecord = {
        ...known(uid),
        phase: 'draining',
        reason: 'It is drained by an operator.',
        ...(deadlineMs === undefined ? {} : { drainDeadlineMs: deadlineMs }),
      };
      records.set(uid, record);
      const sessions = Object.keys(record.sessions).length;
      return { uid, phase: 'draining', sessions, drainDeadlineMs: deadlineMs };
    },
    async undrain(uid) {
      const { drainDeadlineMs: _, ...record } = known(uid);
      const sessions = Object.keys(record.sessions).length;
      const phase = sessions > 0 ? 'in_use' : 'available';
      records.set(uid, { ...record, phase });
      return { uid, phase, sessions, drainDeadlineMs: undefined };
    },
    async evict(uid) {
      records.set(uid, { ...known(uid), phase: 'expired', sessions: {} });
      return { uid, phase: 'expired', sessions: 0, drainDeadlineMs: undefined };
    },
    async release(id) {
      const record = [...records.values()].find(({ sessions }) => id in sessions);
      if (!record) throw new GatewayError('SESSION_UNKNOWN', `There is no session ${id}.`);
      const { [id]: session, ...sessions } = record.sessions;
      const ended = { end: 'released', endedAtMs: systemClock.now() } as const;
      const { principal = { issuer: '', subject: '' } } = session ?? {};
      const tombstone = { sessionId: id, principal, namespace: record.namespace, ...ended };
      const tombstones = { ...record.tombstones, [id]: tombstone };
      records.set(record.uid, { ...record, sessions, tombstones });
      return { sessionId: id, driverUid: record.uid, ...ended };
    },
  };
}

function policyText(issuer: string): string {
  return `apiVersion: spark-gateway/v1alpha1
kind: RoutingPolicy
issuers: [{ issuer: "${issuer}", audiences: ["${AUDIENCE}"], client_ids: ["${CLIENT_ID}"] }]
access: []
administration:
  read: [{ principals: [bob@example.com] }]
  admin: [{ principals: [alice@example.com] }]
pools: [{ size: 2, maximum: 4 }]
`;
}
