/** The gateway's data path for tests: a real Envoy, xDS, a scripted authz, the access log service. */
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { connect } from 'node:tls';
import { Server } from '@grpc/grpc-js';
import { pino } from 'pino';
import { Registry } from 'prom-client';
import { requestMetrics } from '../../src/telemetry/access-log/request-metrics.js';
import { AccessLogReceiver } from '../../src/telemetry/access-log/receiver.js';
import { serverCredentials, type TlsFiles } from '../../src/lib/grpc/tls.js';
import { systemClock } from '../../src/model/clock.js';
import type { AuditedRpc } from '../../src/model/audit.js';
import type { RoutableDriver } from '../../src/model/driver.js';
import { ResourceCache } from '../../src/xds/resource-cache.js';
import { type EncodedResource, TypeUrl } from '../../src/xds/resource.js';
import type { BootstrapValues } from '../../src/envoy/bootstrap.js';
import { XdsFleet } from '../../src/envoy/fleet.js';
import { startXdsServer } from '../../src/xds/xds-server.js';
import { frontResources } from '../../src/envoy/listener.js';
import type { EnvoySettings } from '../../src/envoy/settings.js';
import type { Issued, TestAuthority } from './certificates.js';
import { EnvoyProcess } from './envoy.js';
import { envoyTls } from './envoy-tls.js';
import { defaultEnvoySettings } from './envoy-settings.js';
import { RecordingQueries } from './queries.js';
import { RecordingSink } from './recording-sink.js';
import { type Check, refuse, ScriptedAuthz } from './scripted-authz.js';
import { SparkClient } from './spark-client.js';
import type { SparkDriver } from './spark-driver.js';
import { unusedAddress } from './loopback.js';

const VIEW = 'default';
const CONTROL_PLANE = 'control-plane.test';
/** Where every server of these tests listens. */
export const LOOPBACK = await unusedAddress();

export interface FrontOptions {
  readonly settings?: EnvoySettings;
  /** Resources beside those of the settings: secrets. */
  readonly resources?: readonly EncodedResource[];
  readonly check?: Check;
  /** In place of what the bootstrap holds otherwise. */
  readonly bootstrap?: Partial<BootstrapValues>;
  /** Authority of the front's certificate, PEM; clients speak TLS then. */
  readonly clientTrust?: string;
  readonly adsProtocol?: BootstrapValues['adsProtocol'];
  /** Makes the control plane speak mutual TLS only. */
  readonly controlPlaneAuthority?: TestAuthority;
}

export interface Front {
  readonly envoy: EnvoyProcess;
  readonly authz: ScriptedAuthz;
  readonly activity: RecordingSink;
  readonly queries: RecordingQueries;
  /** What was audited. */
  readonly auditLog: readonly AuditedRpc[];
  readonly address: string;
  /** Makes exactly these drivers routable; resolves when Envoy has acknowledged it. */
  publish(drivers: readonly RoutableDriver[]): Promise<void>;
  /** The policy allows so many connections to a driver; resolves when that is in force. */
  allowConnections(perDriver: number): Promise<void>;
  /** Changes resources; resolves when Envoy has acknowledged it. */
  update(resources: readonly EncodedResource[]): Promise<void>;
  /** @param identity certificate and key to show, PEM */
  client(identity?: Issued): SparkClient;
  /** Serial number of the certificate that a new connection is shown. */
  servedCertificate(): Promise<string>;
  stop(): Promise<void>;
}

/** Settings that suit a test: a free port, frequent records. */
export const testSettings: EnvoySettings = {
  ...defaultEnvoySettings,
  listener: {
    ...defaultEnvoySettings.listener,
    address: LOOPBACK,
    port: 0,
    accessLogIntervalMs: 200,
  },
};

export function routable(driver: SparkDriver, draining = false): RoutableDriver {
  const { address, port } = driver.address;
  return { uid: driver.uid, namespace: 'sjns-search-test', address, port, draining };
}

export async function startFront(options: FrontOptions = {}): Promise<Front> {
  const ends: (() => unknown)[] = [];
  const stop = async (): Promise<void> => {
    for (const end of ends.splice(0).toReversed()) await end();
  };
  try {
    return await start(options, ends, stop);
  } catch (thrown) {
    await stop();
    throw thrown;
  }
}

async function start(
  options: FrontOptions,
  ends: (() => unknown)[],
  stop: () => Promise<void>,
): Promise<Front> {
  const settings = options.settings ?? testSettings;
  const directory = mkdtempSync(join(tmpdir(), 'front-'));
  ends.push(() => rmSync(directory, { recursive: true }));
  const socketPath = join(directory, 'authz.sock');
  const logger = pino({ level: 'silent' });
  const tls = options.controlPlaneAuthority?.writeFiles(directory, 'control-plane', {
    commonName: CONTROL_PLANE,
    dnsNames: [CONTROL_PLANE],
  });
  const cache = new ResourceCache();
  cache.update(VIEW, { upserts: [...frontResources(settings), ...(options.resources ?? [])] });
  const xds = await startXdsServer({
    cache,
    viewOf: () => ({ view: VIEW }),
    logger,
    address: { host: LOOPBACK, port: 0 },
    ...(tls ? { tls } : {}),
  });
  ends.push(() => xds.close());
  let connectionsPerDriver: number | undefined;
  const fleet = new XdsFleet({
    cache,
    revisions: xds.hub,
    views: [{ name: VIEW, serves: () => true }],
    connections: settings.drivers,
    connectionsPerDriver: () => connectionsPerDriver,
    clock: systemClock,
    logger,
  });
  ends.push(() => fleet.close());
  const activity = new RecordingSink();
  const queries = new RecordingQueries();
  const auditLog: AuditedRpc[] = [];
  const logServer = new Server();
  ends.push(() => logServer.forceShutdown());
  const accessLog = new AccessLogReceiver({
    clock: systemClock,
    logger,
    audit: { rpc: (rpc) => void auditLog.push(rpc) },
    metrics: requestMetrics(new Registry()),
    intervalMs: settings.listener.accessLogIntervalMs,
    isPassedOn: () => false,
  });
  accessLog.setTarget({ sink: activity, queries });
  accessLog.addTo(logServer);
  const authz = await ScriptedAuthz.start(
    socketPath,
    options.check ?? (() => refuse(7, 'nobody may', 'NAMESPACE_REFUSED')),
  );
  ends.push(() => authz.stop());
  const envoy = await EnvoyProcess.start({
    nodeId: 'envoy-1',
    nodeCluster: 'test',
    admin: { host: LOOPBACK, port: 0 },
    health: { host: LOOPBACK, port: 0 },
    xds: [{ host: LOOPBACK, port: xds.port }],
    adsProtocol: options.adsProtocol ?? 'incremental',
    accessLog: [{ host: LOOPBACK, port: await bind(logServer, tls) }],
    controlPlaneTls: options.controlPlaneAuthority
      ? envoyTls(directory, options.controlPlaneAuthority, CONTROL_PLANE)
      : undefined,
    authz: { socketPath },
    heapBytes: 2 ** 30,
    downstreamConnections: 1000,
    ...options.bootstrap,
  });
  ends.push(() => envoy.stop());
  const address = await envoy.listenerAddress();
  let published: readonly RoutableDriver[] = [];

  /** Resolves once Envoy has acknowledged so much that `isSo`. */
  const acknowledged = (isSo: () => boolean): Promise<void> =>
    new Promise((resolve) => {
      const ignore = xds.hub.onAck(() => look());
      const look = (): void => {
        if (!isSo()) return;
        ignore();
        resolve();
      };
      look();
    });

  return {
    envoy,
    authz,
    activity,
    queries,
    auditLog,
    address,
    async publish(drivers) {
      const left = published.filter(({ uid }) => drivers.every((driver) => driver.uid !== uid));
      published = drivers;
      fleet.publish(drivers);
      await acknowledged(
        () =>
          published.every(({ uid }) => fleet.knows(uid)) &&
          left.every((driver) => fleet.hasForgotten(driver)),
      );
    },
    async allowConnections(perDriver) {
      connectionsPerDriver = perDriver;
      fleet.limitsChanged();
      const { revision } = cache;
      await acknowledged(() => xds.hub.minAcknowledgedRevision(TypeUrl.CLUSTER, '*') >= revision);
      // A cluster that has changed takes the place of the former one when it has its endpoints.
      const active = '/config_dump?resource=dynamic_active_clusters';
      const limit = new RegExp(`"max_connections": ${perDriver}\\b`);
      while (!limit.test(await envoy.admin(active)));
    },
    async update(resources) {
      const revision = cache.update(VIEW, { upserts: resources });
      await acknowledged(() =>
        resources.every(
          ({ typeUrl, name }) => xds.hub.minAcknowledgedRevision(typeUrl, name) >= revision,
        ),
      );
    },
    client(identity) {
      const client = new SparkClient(
        address,
        options.clientTrust === undefined
          ? undefined
          : { authority: options.clientTrust, ...(identity ? { identity } : {}) },
      );
      ends.push(() => client.close());
      return client;
    },
    async servedCertificate() {
      const [host, port] = address.split(':');
      const socket = connect({ host, port: Number(port), rejectUnauthorized: false });
      await once(socket, 'secureConnect');
      const { serialNumber } = socket.getPeerCertificate();
      socket.destroy();
      return serialNumber;
    },
    stop,
  };
}

function bind(server: Server, tls: TlsFiles | undefined): Promise<number> {
  return new Promise((resolve, reject) => {
    server.bindAsync(`${LOOPBACK}:0`, serverCredentials(tls), (error, port) =>
      error ? reject(error) : resolve(port),
    );
  });
}
