/** `control-plane`: discovery → pools and sessions → xDS; assignments for authz; Envoy's access logs. */
import { Registry } from 'prom-client';
import { AccessLogService } from '#gen/envoy/service/accesslog/v3/als_pb.js';
import { AdministrationService } from '#gen/spark_gateway/v1/administration_pb.js';
import { AssignmentService } from '#gen/spark_gateway/v1/assignments_pb.js';
import { BatchService } from '#gen/spark_gateway/v1/batch_pb.js';
import { requestMetrics } from '../telemetry/access-log/request-metrics.js';
import { CountedRequests } from '../telemetry/access-log/counted-requests.js';
import { AccessLogReceiver } from '../telemetry/access-log/receiver.js';
import { RequestTally } from '../console/live/requests.js';
import { type LeaderFacts, SharedFleet } from '../console/shared-fleet.js';
import { EndedSessions } from '../sign-in/ended-sessions.js';
import { type CallLeader, Forwarder, isPassedOn } from '../lib/grpc/forward.js';
import { clientCredentials } from '../lib/grpc/tls.js';
import {
  type AdminRoutes,
  adminRoutes,
  adminTls,
  consoleParts,
  startAdminServer,
} from './admin.js';
import type { SessionRecord } from '../model/driver.js';
import { systemClock } from '../model/clock.js';
import type { EnvoyCounts } from '../model/envoy-counts.js';
import { GatewayError } from '../model/errors.js';
import type { Leadership, Ledger } from '../model/ledger.js';
import { eventsAbout } from '../lib/kubernetes/events-about.js';
import type { DriverStatus } from '../model/reports.js';
import { PoolController } from '../fleet/controller.js';
import { ProblemBoard, openAudit, problemMetrics, openTracing } from './telemetry.js';
import { StartedDrivers } from '../fleet/driver-starts.js';
import { AssignmentWatch } from '../sessions/assignment-service.js';
import { WaitingRoom } from '../sessions/waiting-room.js';
import { accessLogIntervalMs } from '../settings/compile-settings.js';
import type { Settings } from '../settings/table.js';
import {
  assignmentMetrics,
  certificateMetrics,
  controlPlaneMetrics,
  leaderTerms,
  policyMetrics,
  processMetrics,
} from './metrics.js';
import { openBatch } from './batch.js';
import { createGrpcPort, mtlsFiles } from '../lib/grpc/port.js';
import { type KubernetesAccess, kubernetesMetrics, openKubernetes } from './kubernetes.js';
import { createLeader, type Leader, Succession } from './leader.js';
import { aborted, type Closing, roleLogger, runProcess } from './process.js';
import { openReplica } from './place.js';
import { openOwn } from './place.js';
import { type Place } from './place.js';
import { openOwnPolicy } from './role-policy.js';
import { createXds } from './xds.js';

/** How long the leader may take over what an operator asked another replica for. */
const OPERATION_TIMEOUT_MS = 15_000;

/** Runs until a signal ends it. Drivers it has started go on, for the next one to adopt. */
export function runControlPlane(settings: Settings): Promise<void> {
  return runProcess((closing, stop) => serve(settings, closing, stop));
}

async function serve(settings: Settings, closing: Closing, stop: AbortSignal): Promise<void> {
  const clock = systemClock;
  const logger = roleLogger('control-plane', settings.logLevel);
  const registry = new Registry();
  processMetrics(registry, 'control-plane');
  certificateMetrics(registry, 'control-plane', settings);

  const audit = await openAudit(settings, { clock, logger, registry });
  closing.add(() => audit.close());
  const tracing = openTracing('control-plane', settings, { clock, registry });
  closing.add(() => tracing.close());
  const access =
    settings.drivers.source === 'kubernetes'
      ? await openKubernetes(settings, kubernetesMetrics(registry, clock), logger)
      : undefined;
  closing.add(() => access?.close());
  let leadership: Leadership | undefined;
  const leading = () => leadership?.epoch() !== undefined;
  const ownPolicy = await openOwnPolicy(settings, { access, leading, clock, logger }, stop);
  if (!ownPolicy) return;
  closing.add(() => ownPolicy.close());
  const policySource = ownPolicy.source;
  const policy = () => policySource.current;
  policyMetrics(registry, policySource);
  const xds = createXds(settings, { policy, clock, logger, registry });

  const tally = new RequestTally();
  const requests = requestMetrics(registry);
  const accessLog = new AccessLogReceiver({
    clock,
    logger,
    audit,
    metrics: requests,
    onRecord(record) {
      if (record.kind === 'ended') tally.add(record);
    },
    onLeftOut: (durationsMs) => tally.addSucceeded(durationsMs),
    intervalMs: accessLogIntervalMs(settings),
    isPassedOn,
  });
  const services = [AssignmentService, BatchService];
  const tls = mtlsFiles(settings.mtls);
  const port = createGrpcPort({
    name: 'assignments.listen_addr',
    address: settings.assignments.listenAddr,
    tls,
    allowedSans: settings.assignments.allowedSans,
    services: [...services, AdministrationService],
    replicaServices: [AdministrationService],
    namedServices: [{ service: BatchService, allowedSans: settings.batch.allowedSans }],
    addPermanent(server) {
      accessLog.addTo(server);
      ownPolicy.addTo(server);
    },
    clock,
    logger,
  });
  closing.add(() => port.close());
  const forwarder = new Forwarder({
    credentials: clientCredentials(tls, { clock }),
    serverName: settings.mtls.serverName,
    unavailable: nobodyLeads,
  });
  closing.add(() => forwarder.close());

  const countedRequests = new CountedRequests();
  const counted = (sidecarId: string, counts: readonly EnvoyCounts[]) => {
    for (const more of countedRequests.since(sidecarId, counts)) {
      const of = policy().parseNamespace?.(more.namespace);
      if (of) requests.counted(more, of);
      tally.addCounted(more);
    }
  };
  let leader: Leader | undefined;
  const isUnanswered = (session: SessionRecord) => leader?.isUnanswered(session) === true;
  const place: Place = access
    ? await openReplica(settings, access, { policy, isUnanswered, clock, logger })
    : await openOwn(settings, { clock, logger });
  const { records, drivers } = place;
  closing.add(() => drivers.close());
  closing.add(() => records.close());
  leadership = records.leadership;
  const batch = await openBatch(settings, {
    access,
    leadership: records.leadership,
    policy,
    audit,
    registry,
    clock,
    logger,
  });
  closing.add(() => batch?.close());
  const waitingRoom = new WaitingRoom(clock);
  const times = assignmentMetrics(registry);
  const starts = new StartedDrivers(records.ledger, (start, outcome) =>
    times.started(outcome, start.readyAtMs - start.createdAtMs),
  );
  closing.add(() => starts.close());
  const watch = new AssignmentWatch({
    tracer: tracing.tracer,
    starts,
    clock,
    onAssigned: (kind, durationMs) => times.assigned(kind, durationMs),
  });
  const toLeader: CallLeader = (method, message, signal) => {
    if (!tls) return Promise.reject(replicasNeedCertificates());
    return forwarder.call(method, message, OPERATION_TIMEOUT_MS, signal);
  };
  const board = new ProblemBoard(clock);
  const ended = new EndedSessions(clock);
  let administration: AdminRoutes | undefined;
  const shared = new SharedFleet({
    replica: place.replica,
    envoys: () => xds.hub.nodes(),
    problems: () => board.list(),
    issuers: () => administration?.issuers() ?? [],
    leader: () => leader && leaderFacts(leader, records.ledger, pools),
    ended,
    toLeader,
    clock,
  });
  const accessLogPath = `/${AccessLogService.typeName}/${AccessLogService.method.streamAccessLogs.name}`;
  const succession: Succession = new Succession({
    createLeader: (term) =>
      (leader = createLeader(term, {
        settings,
        pools,
        records,
        waitingRoom,
        policy,
        watch,
        shared,
        counted,
        batch: batch?.createTerm(term.leadership),
        clock,
        logger,
      })),
    port,
    forwarder: {
      setTarget: (address) => forwarder.setTarget(address),
      addServices: (server) => forwarder.addServices(server, services),
    },
    tellActivity: (to) =>
      accessLog.setTarget(
        to
          ? { sink: to.activity, queries: to.queries }
          : { open: () => forwarder.openClientStream(accessLogPath) },
      ),
    notLeading: nobodyLeads,
  });
  closing.add(() => {
    succession.close();
    port.endCalls(nobodyLeads());
    accessLog.close(nobodyLeads());
    ownPolicy.endCalls(nobodyLeads());
  });
  const pools = new PoolController({
    ...drivers,
    ledger: records.ledger,
    demand: waitingRoom,
    fleet: xds.fleet,
    caches: succession,
    leadership: records.leadership,
    policy,
    clock,
    log: logger,
    tombstoneTtlMs: settings.sessions.tombstoneTtlMs,
    addressQuietMs: settings.assignments.cacheTtlMs,
    isUnanswered,
  });
  closing.add(() => pools.stop());
  policySource.onChange(() => {
    pools.trigger();
    xds.fleet.limitsChanged();
  });
  pools.onLook((epoch) => succession.looked(epoch));
  const termBegins = leaderTerms(registry);
  records.onTerm((term) => {
    if (term) termBegins();
    if (!term) leader = undefined;
    succession.setTerm(term);
    if (term) ownPolicy.leads();
  });
  const stopWaiting = records.ledger.onChange((uid) => {
    if (records.ledger.get(uid)?.phase !== 'available') return;
    stopWaiting();
    drivers.warmUp();
  });

  board.add(pools);
  board.add(drivers);
  board.add(place);
  board.add(ownPolicy);
  if (batch) board.add(batch);
  problemMetrics(registry, board);
  place.tellOf(board, pools);

  let starting: string | undefined = 'starting';
  controlPlaneMetrics(registry, {
    pools,
    xds: xds.hub,
    ledger: records.ledger,
    queries: () => leader?.queries.counts(),
    leading,
  });
  administration = adminRoutes({
    pools,
    ledger: records.ledger,
    leader: () => leader,
    toLeader,
    shared,
    ended,
    audit,
    replica: () => ({ epoch: records.leadership.epoch(), ...place.status() }),
    policy: policySource,
    problems: board,
    console: await consoleParts(settings, () => place.consoleSecret()),
    kubernetes: kubernetesRights(settings, access),
    driverEvents: access && ((driver) => eventsOf(driver, access)),
    takeRequests: () => (leader ? tally.take() : undefined),
    clock,
    logger,
  });
  closing.add(() => administration?.close());
  const admin = await startAdminServer({
    address: settings.admin.listenAddr,
    registry,
    readiness: () => starting ?? place.unready(pools),
    routes: administration.routes,
    httpsOnly: settings.console.publicUrl?.startsWith('https:') ?? false,
    tls: adminTls(settings, clock),
    logger,
  });
  closing.add(() => admin.close());
  // Apart from what people use: their connections do not stop a probe.
  const { healthAddr } = settings.admin;
  if (healthAddr) {
    const health = await startAdminServer({
      address: healthAddr,
      registry,
      readiness: () => starting ?? place.unready(pools),
      logger,
    });
    closing.add(() => health.close());
  }
  await port.listen();
  const serving = place.start({ pools, succession }).then(async () => {
    if (stop.aborted) return;
    const listening = await xds.listen();
    closing.add(() => listening.close());
    starting = undefined;
    place.started();
    shared.start();
    closing.add(() => shared.close());
    logger.info({ admin: admin.port, epoch: records.leadership.epoch() }, 'control plane runs');
  });
  await Promise.race([serving.then(() => aborted(stop)), aborted(stop)]);
  logger.info('control plane ends');
}

/** For the other replicas. */
function leaderFacts(leader: Leader, ledger: Ledger, pools: PoolController): LeaderFacts {
  return {
    sidecars: () => leader.notices.sidecars(),
    activity: () =>
      [...ledger.all()].flatMap(({ sessions }) =>
        Object.values(sessions).map((session) => {
          const { lastActiveMs, openStreams } = leader.activityOf(session);
          return [session.sessionId, lastActiveMs, openStreams] as const;
        }),
      ),
    pools: () => pools.report().pools,
  };
}

/** Of its pod, and of the resource that it was made by. */
function eventsOf({ cluster, namespace, pod, resource }: DriverStatus, access: KubernetesAccess) {
  const { api } = access.clusters.find(({ name }) => name === cluster) ?? access.home;
  return eventsAbout(
    api,
    namespace,
    [pod, resource].filter((name) => name !== undefined),
  );
}

function kubernetesRights(
  { admin: { kubernetesAudience: audience } }: Settings,
  access: KubernetesAccess | undefined,
) {
  if (audience === undefined || !access) return undefined;
  return { api: access.home.api, namespace: access.namespace, audience };
}

function replicasNeedCertificates(): GatewayError {
  return new GatewayError(
    'CONTROL_PLANE_UNAVAILABLE',
    'This replica does not lead, and without mtls.cert_file it passes on nothing that an operator asks: ask the leader.',
  );
}

function nobodyLeads(): GatewayError {
  return new GatewayError(
    'CONTROL_PLANE_UNAVAILABLE',
    'No control plane leads now; the client tries again by itself.',
    { retryAfterMs: 2_000 },
  );
}
