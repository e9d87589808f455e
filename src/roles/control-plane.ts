/** `control-plane`: discovery → pools and sessions → xDS; assignments for authz; Envoy's access logs. */
import { Registry } from 'prom-client';
import { addAccessLogService } from '../access-log/server.js';
import { requestMetrics } from '../access-log/metrics.js';
import { startAdminServer } from '../metrics/admin-server.js';
import { systemClock } from '../model/clock.js';
import { PolicyFile } from '../policy/policy-file.js';
import { PoolController } from '../pools/controller.js';
import { addAssignmentService } from '../sessions/assignment-service.js';
import { SessionAssigner } from '../sessions/assignments.js';
import { SessionExpiry } from '../sessions/expiry.js';
import { SidecarNotices } from '../sessions/notices.js';
import { sparkConnectClient } from '../sessions/spark-connect-client.js';
import { WaitingRoom } from '../sessions/waiting-room.js';
import { accessLogIntervalMs } from '../settings/access-log-interval.js';
import { policyOptions } from '../settings/for-policy.js';
import type { Settings } from '../settings/table.js';
import { adminHandlers } from './admin-handlers.js';
import { controlPlaneMetrics } from './control-plane-metrics.js';
import { openDrivers } from './drivers.js';
import { mtlsFiles, startGrpcPort } from './grpc-port.js';
import { connectKubernetes, openKubernetesDrivers, openKubernetesRecords } from './kubernetes.js';
import { roleLogger } from './logger.js';
import { openFileRecords } from './records.js';
import { aborted, terminationSignal } from './termination.js';
import { createXds } from './xds.js';

/** Runs until a signal ends it. Drivers it has started go on, for the next one to adopt. */
export async function runControlPlane(settings: Settings): Promise<void> {
  const stop = terminationSignal();
  const clock = systemClock;
  const logger = roleLogger('control-plane', settings.logLevel);
  const registry = new Registry();

  const policyFile = await PolicyFile.open(settings.policyFile, {
    compile: policyOptions(settings),
    clock,
    logger,
  });
  const policy = () => policyFile.current;
  const kubernetes =
    settings.drivers.source === 'kubernetes' ? connectKubernetes(settings) : undefined;
  const records = kubernetes
    ? await openKubernetesRecords(settings, kubernetes, { clock, logger })
    : await openFileRecords(settings, { clock, logger });
  const { ledger, leadership } = records;

  const xds = createXds(settings, { clock, logger });
  const waitingRoom = new WaitingRoom(clock);
  const notices = new SidecarNotices({
    ledger,
    clock,
    cacheTtlMs: settings.assignments.cacheTtlMs,
  });
  const drivers = kubernetes
    ? await openKubernetesDrivers(settings, kubernetes, {
        clock,
        logger,
        policy,
        records,
        onChange: () => pools.trigger(),
      })
    : await openDrivers(settings, { clock, logger });
  await drivers.discard(await records.unreadable());
  const pools: PoolController = new PoolController({
    ...drivers,
    ledger,
    demand: waitingRoom,
    fleet: xds.fleet,
    caches: notices,
    leadership,
    policy,
    clock,
    log: logger,
    tombstoneTtlMs: settings.sessions.tombstoneTtlMs,
    addressQuietMs: settings.assignments.cacheTtlMs,
  });
  policyFile.onChange(() => pools.trigger());
  records.onLeadership(() => {
    void records.unreadable().then((uids) => drivers.discard(uids));
    pools.trigger();
  });
  records.onDrains((drains) => {
    if (leadership.epoch() === undefined) return;
    for (const [uid, deadlineMs] of drains) {
      const phase = ledger.get(uid)?.phase;
      if (phase === undefined || phase === 'gone' || phase === 'expired') continue;
      pools.drain(uid, deadlineMs).catch((error: unknown) => {
        logger.info({ driver: uid, err: error }, 'a driver cannot be drained now');
      });
    }
  });
  const expiry = new SessionExpiry({
    ledger,
    leadership,
    observations: pools,
    sparkConnect: sparkConnectClient(),
    clock,
    logger,
    sessionTtlMs: settings.sessionTtlMs,
    tombstoneTtlMs: settings.sessions.tombstoneTtlMs,
  });
  const assigner = new SessionAssigner({
    ledger,
    leadership,
    observations: pools,
    policy,
    poolStatus: pools,
    waitingRoom,
    activity: expiry.activity,
    clock,
    logger,
    cacheTtlMs: settings.assignments.cacheTtlMs,
  });

  const closeAssignments = await startGrpcPort({
    name: 'assignments.listen_addr',
    address: settings.assignments.listenAddr,
    tls: mtlsFiles(settings.mtls),
    allowedSans: settings.assignments.allowedSans,
    clock,
    logger,
    addServices(server) {
      addAssignmentService(server, {
        assigner,
        notices,
        activity: expiry.activity,
        leadership,
        clock,
        logger,
      });
      addAccessLogService(server, {
        sink: expiry.activity,
        clock,
        logger,
        auditLogger: logger.child({ audit: true }),
        metrics: requestMetrics(registry),
        intervalMs: accessLogIntervalMs(settings),
      });
    },
  });
  const stopWaiting = ledger.onChange((uid) => {
    if (ledger.get(uid)?.phase !== 'available') return;
    stopWaiting();
    drivers.warmUp();
  });
  pools.start();
  const xdsPort = await xds.listen();
  expiry.start();

  controlPlaneMetrics(registry, { pools, xds: xds.hub, ledger, policy: policyFile });
  const admin = await startAdminServer({
    host: settings.admin.listenAddr.host,
    port: settings.admin.listenAddr.port,
    registry,
    readiness: () => pools.report().readError ?? drivers.problem() ?? records.problem(),
    handlers: adminHandlers({ pools, xds: xds.hub, ledger, notices, policy: policyFile }),
  });
  logger.info({ admin: admin.port, epoch: leadership.epoch() }, 'control plane runs');

  await aborted(stop);
  logger.info('control plane ends');
  await admin.close();
  await pools.stop();
  expiry.stop();
  await closeAssignments();
  await xdsPort.close();
  policyFile.close();
  drivers.close();
  await records.close();
  kubernetes?.close();
}
