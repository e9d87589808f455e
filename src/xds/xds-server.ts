/** The xDS port: aggregated and per-type discovery services. */
import type { DescMethod, DescService } from '@bufbuild/protobuf';
import { ClusterDiscoveryService } from '#gen/envoy/service/cluster/v3/cds_pb.js';
import { AggregatedDiscoveryService } from '#gen/envoy/service/discovery/v3/ads_pb.js';
import { EndpointDiscoveryService } from '#gen/envoy/service/endpoint/v3/eds_pb.js';
import { ExtensionConfigDiscoveryService } from '#gen/envoy/service/extension/v3/config_discovery_pb.js';
import { ListenerDiscoveryService } from '#gen/envoy/service/listener/v3/lds_pb.js';
import { RouteDiscoveryService } from '#gen/envoy/service/route/v3/rds_pb.js';
import { SecretDiscoveryService } from '#gen/envoy/service/secret/v3/sds_pb.js';
import { GrpcStreamServer, type StreamHandler } from '../lib/grpc/stream-server.js';
import { peerIdentity, type TlsFiles } from '../lib/grpc/tls.js';
import { formatAddress, isLoopback, type SocketAddress } from '../model/address.js';
import { systemClock } from '../model/clock.js';
import { GatewayError } from '../model/errors.js';
import { DiscoveryHub, type HubOptions } from './hub.js';
import type { Protocol } from './protocol.js';
import { TypeUrl } from './resource.js';

export interface XdsServerOptions extends HubOptions {
  /** Port 0 takes a free one. */
  readonly address: SocketAddress;
  /** Required, unless the address is a loopback one. */
  readonly tls?: TlsFiles;
}

/** A server that does not listen yet, so that the cache can be filled before the first Envoy asks. */
export interface UnstartedXdsServer {
  readonly hub: DiscoveryHub;
  /** Rejects with SETTINGS_INVALID when it cannot listen. */
  listen(): Promise<XdsServer>;
}

export interface XdsServer {
  readonly hub: DiscoveryHub;
  readonly port: number;
  /** Ends all streams, so that Envoys go to another control plane, and frees the port. */
  close(): Promise<void>;
}

/** The names and versions of all resources that a client may name (name-lists.ts) are below it. */
const MAX_REQUEST_BYTES = 16 * 1024 * 1024;

/** Serves the cache. Rejects with SETTINGS_INVALID when it may not or cannot listen. */
export async function startXdsServer(options: XdsServerOptions): Promise<XdsServer> {
  return createXdsServer(options).listen();
}

/** @throws GatewayError SETTINGS_INVALID when it may not listen. */
export function createXdsServer(options: XdsServerOptions): UnstartedXdsServer {
  const { address, tls, logger, clock = systemClock } = options;
  if (!tls && !isLocal(address)) {
    throw new GatewayError(
      'SETTINGS_INVALID',
      `xDS on ${formatAddress(address)} needs mutual TLS, as it hands out secrets: set a certificate, a key and an ` +
        'authority for it, or listen on a loopback address.',
    );
  }
  const hub = new DiscoveryHub(options);
  const server = new GrpcStreamServer({
    name: 'xDS',
    address,
    tls,
    handlers: handlers(hub, tls !== undefined),
    maxMessageBytes: MAX_REQUEST_BYTES,
    clock,
    logger,
  });
  const close = async () => {
    hub.close();
    await server.close(new GatewayError('SHUTTING_DOWN', 'This control plane is shutting down.'));
  };
  return {
    hub,
    async listen() {
      const port = await server.listen();
      logger.info({ address, port, tls: tls !== undefined }, 'xDS server listens');
      return { hub, port, close };
    },
  };
}

function isLocal(address: SocketAddress): boolean {
  return 'path' in address || isLoopback(address.host);
}

const services: readonly (readonly [DescService, TypeUrl | undefined])[] = [
  [AggregatedDiscoveryService, undefined],
  [ClusterDiscoveryService, TypeUrl.CLUSTER],
  [EndpointDiscoveryService, TypeUrl.ENDPOINTS],
  [SecretDiscoveryService, TypeUrl.SECRET],
  [ExtensionConfigDiscoveryService, TypeUrl.EXTENSION_CONFIG],
  [ListenerDiscoveryService, TypeUrl.LISTENER],
  [RouteDiscoveryService, TypeUrl.ROUTE],
];

/** By path, for every method of every discovery service. */
function handlers(
  hub: DiscoveryHub,
  secure: boolean,
): ReadonlyMap<string, StreamHandler | GatewayError> {
  return new Map(
    services.flatMap(([service, typeUrl]) =>
      service.methods.map((method) => {
        const path = `/${service.typeName}/${method.name}`;
        return [path, handler(hub, secure, method, path, typeUrl)] as const;
      }),
    ),
  );
}

/** @param typeUrl undefined for the aggregated service */
function handler(
  hub: DiscoveryHub,
  secure: boolean,
  method: DescMethod,
  path: string,
  typeUrl: TypeUrl | undefined,
): StreamHandler | GatewayError {
  const protocol = protocolOf(method);
  if (!protocol) {
    return new GatewayError(
      'METHOD_UNKNOWN',
      `${path} is not served: use the Stream or Delta method of the same service.`,
    );
  }
  return (call) => {
    const { peerCertificate, remoteAddress } = call;
    if (secure && !peerCertificate) {
      throw new GatewayError('XDS_NODE_REFUSED', 'xDS needs a client certificate.');
    }
    const stream = hub.connect({
      protocol,
      onlyType: typeUrl,
      peer: peerCertificate && peerIdentity(peerCertificate),
      remoteAddress,
      sink: { write: (bytes) => call.write(bytes), end: (error) => call.fail(error) },
    });
    return {
      message: (bytes) => stream.receive(bytes),
      drained: () => stream.drained(),
      closed: () => hub.disconnect(stream),
    };
  };
}

/** Undefined for a REST-like Fetch, which is not served. */
function protocolOf(method: DescMethod): Protocol['name'] | undefined {
  if (method.methodKind !== 'bidi_streaming') return undefined;
  return method.input.name === 'DeltaDiscoveryRequest' ? 'delta' : 'sotw';
}
