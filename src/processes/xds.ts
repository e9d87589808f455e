/** The xDS side of the control plane: what every Envoy gets, the drivers, and the port. */
import { readFileSync, mkdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import type { ChannelCredentials } from '@grpc/grpc-js';
import type { Logger } from 'pino';
import type { Registry } from 'prom-client';
import { CertificateFiles } from '../envoy/certificates.js';
import { XdsFleet } from '../envoy/fleet.js';
import { frontResources } from '../envoy/listener.js';
import type { EnvoySettings } from '../envoy/settings.js';
import { mtlsFiles } from '../lib/grpc/port.js';
import { formatAddress } from '../model/address.js';
import type { Clock } from '../model/clock.js';
import type { Policy } from '../model/policy.js';
import { accessLogIntervalMs } from '../settings/compile-settings.js';
import type { Settings } from '../settings/table.js';
import { ResourceCache } from '../xds/resource-cache.js';
import type { DiscoveryHub } from '../xds/hub.js';
import { xdsMetrics } from '../xds/xds-metrics.js';
import { XdsRelay } from '../xds/relay/relay.js';
import type { ViewOf } from '../xds/resource.js';
import { createXdsServer } from '../xds/xds-server.js';

/** Every Envoy serves every namespace. */
const VIEW = 'front';

export interface Xds {
  readonly fleet: XdsFleet;
  readonly hub: DiscoveryHub;
  /**
   * To be called when the drivers of the records are published: an Envoy that came back earlier
   * would be told that there are none, and would cut what runs on them.
   */
  listen(): Promise<{ close(): Promise<void> }>;
}

export function createXds(
  settings: Settings,
  {
    policy,
    clock,
    logger,
    registry,
  }: {
    readonly policy: () => Policy;
    readonly clock: Clock;
    readonly logger: Logger;
    readonly registry: Registry;
  },
): Xds {
  const cache = new ResourceCache();
  const { tlsCertFile, tlsKeyFile, listener } = settings;
  const driverTls = mtlsFiles(settings.drivers.tls);
  const certificates = new CertificateFiles(
    {
      ...(tlsCertFile === undefined || tlsKeyFile === undefined
        ? {}
        : { front: { certFile: tlsCertFile, keyFile: tlsKeyFile } }),
      ...(listener.clientCaFile === undefined ? {} : { clientCaFile: listener.clientCaFile }),
      ...(driverTls ? { drivers: { ...driverTls, names: settings.drivers.tls.names } } : {}),
    },
    { clock, logger, onChange: (secret) => cache.update(VIEW, { upserts: [secret] }) },
  );
  const envoy = envoySettings(settings);
  cache.update(VIEW, { upserts: [...frontResources(envoy), ...certificates.secrets()] });
  const tls = mtlsFiles(settings.mtls);
  const server = createXdsServer({
    address: settings.xds.listenAddr,
    ...(tls ? { tls } : {}),
    cache,
    viewOf: viewOf(settings.xds.allowedSans, tls !== undefined),
    logger,
    clock,
    debounce: { quietMs: settings.xds.debounceMs, maxMs: settings.xds.debounceMaxMs },
    metrics: xdsMetrics(registry),
  });
  const fleet = new XdsFleet({
    cache,
    revisions: server.hub,
    views: [{ name: VIEW, serves: () => true }],
    connections: envoy.drivers,
    connectionsPerDriver: (namespace) => policy().limits?.(namespace)?.connectionsPerDriver,
    clock,
    logger,
  });
  return {
    fleet,
    hub: server.hub,
    async listen() {
      const listening = await server.listen();
      return {
        async close() {
          fleet.close();
          certificates.close();
          await listening.close();
        },
      };
    },
  };
}

function envoySettings(settings: Settings): EnvoySettings {
  const { authz, drivers, headers, listenAddr, listener, maxConnsPerHost } = settings;
  const { envoy, otlp, tlsCertFile, tracing } = settings;
  const perAddress = listener.maxConnectionsPerAddress ?? Math.ceil(envoy.maxConnections / 4);
  const traced = tracing.enabled ? otlp.endpoint : undefined;
  return {
    listener: {
      address: listenAddr.host,
      port: listenAddr.port,
      tls: tlsCertFile !== undefined,
      trustedProxies: listener.trustedProxies,
      proxyProtocol: listener.proxyProtocol,
      // Proxies in front have few addresses, and the clients of all of them.
      ...(listener.trustedProxies > 0 ? {} : { maxConnectionsPerAddress: perAddress }),
      accessLogIntervalMs: accessLogIntervalMs(settings),
      ...(traced ? { tracing: { samplePercent: tracing.samplePercent } } : {}),
    },
    authz: {
      longestHoldMs: authz.holdTimeMs,
      marginMs: authz.timeoutMs - authz.holdTimeMs,
      headers: [headers.team, headers.environment, headers.user],
      leases: authz.leaseTimeMs > 0,
    },
    drivers: {
      maxConnectionsPerDriver: maxConnsPerHost,
      connectTimeoutMs: 5_000,
      maxMessageBytes: listener.maxMessageSizeBytes,
      tls: drivers.tls.certFile !== undefined,
      ...(drivers.tls.serverName === undefined ? {} : { serverName: drivers.tls.serverName }),
    },
    ...(traced
      ? {
          collector: {
            host: traced.host,
            port: traced.port,
            tls: traced.tls
              ? { authorityPem: otlp.caFile && readFileSync(otlp.caFile, 'utf8') }
              : undefined,
          },
        }
      : {}),
  };
}

/** A name in the certificate decides; what the node says of itself decides nothing. */
function viewOf(allowedSans: readonly string[], secure: boolean): ViewOf {
  return (peer) => {
    if (!secure || allowedSans.length === 0) return { view: VIEW };
    const names = peer ? [...peer.uris, ...peer.dnsNames] : [];
    if (names.some((name) => allowedSans.includes(name))) return { view: VIEW };
    return {
      refused: `The certificate has none of the names in xds.allowed_sans; it has ${names.join(', ') || 'none'}.`,
    };
  };
}

// The xDS relay beside an Envoy: its last configuration outlives every control plane.

/** Undefined when Envoy asks the control plane itself. */
export async function startRelay(
  settings: Settings,
  context: {
    readonly credentials: ChannelCredentials;
    readonly clock: Clock;
    readonly logger: Logger;
  },
): Promise<XdsRelay | undefined> {
  const { mtls, stateDir, xds } = settings;
  if (!xds.relayAddr) return undefined;
  const { credentials, clock, logger } = context;
  mkdirSync(stateDir, { recursive: true, mode: 0o700 });
  return XdsRelay.start({
    address: xds.relayAddr,
    controlPlane: {
      address: formatAddress(xds.connectAddr),
      credentials,
      serverName: mtls.serverName,
    },
    file: keptConfiguration(settings),
    clock,
    logger,
  });
}

/** Makes Envoy start with what the control plane says only. */
export function forgetConfiguration(settings: Settings): void {
  rmSync(keptConfiguration(settings), { force: true });
}

function keptConfiguration({ stateDir }: Settings): string {
  return join(stateDir, 'envoy-configuration');
}
