/** The xDS port: aggregated and per-type discovery services over grpc-js. */
import { X509Certificate } from 'node:crypto';
import type { DescMethod, DescService } from '@bufbuild/protobuf';
import {
  type handleBidiStreamingCall,
  type handleUnaryCall,
  type ServerDuplexStream,
  type MethodDefinition,
} from '@grpc/grpc-js';
import { ClusterDiscoveryService } from '#gen/envoy/service/cluster/v3/cds_pb.js';
import { AggregatedDiscoveryService } from '#gen/envoy/service/discovery/v3/ads_pb.js';
import { EndpointDiscoveryService } from '#gen/envoy/service/endpoint/v3/eds_pb.js';
import { ExtensionConfigDiscoveryService } from '#gen/envoy/service/extension/v3/config_discovery_pb.js';
import { ListenerDiscoveryService } from '#gen/envoy/service/listener/v3/lds_pb.js';
import { RouteDiscoveryService } from '#gen/envoy/service/route/v3/rds_pb.js';
import { SecretDiscoveryService } from '#gen/envoy/service/secret/v3/sds_pb.js';
import { asOnTheWire, methodDefinition } from '../lib/grpc/channels.js';
import { GrpcServer } from '../lib/grpc/grpc-server.js';
import { toServiceError } from '../lib/grpc/status-details.js';
import {
  type PeerIdentity,
  peerIdentity,
  serverCredentials,
  type TlsFiles,
} from '../lib/grpc/tls.js';
import { isLoopback } from '../model/address.js';
import { systemClock } from '../model/clock.js';
import { GatewayError } from '../model/errors.js';
import { DiscoveryHub, type HubOptions } from './hub.js';
import type { Protocol } from './protocol.js';
import { TypeUrl } from './resource.js';

export interface XdsServerOptions extends HubOptions {
  /** `ip:port`; port 0 takes a free one. */
  readonly address: string;
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

const MAX_REQUEST_BYTES = 64 * 1024 * 1024;

type Call = ServerDuplexStream<Buffer, Buffer>;

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
      `xDS on ${address} needs mutual TLS, as it hands out secrets: set a certificate, a key and an ` +
        'authority for it, or listen on a loopback address.',
    );
  }
  const hub = new DiscoveryHub(options);
  const calls = new Set<Call>();
  const credentials = serverCredentials(tls, {
    clock,
    onError: (error) => logger.error({ err: error }, 'xDS certificates cannot be renewed'),
  });
  const port = new GrpcServer({
    name: 'xDS',
    address,
    credentials,
    maxRequestBytes: MAX_REQUEST_BYTES,
    clock,
  });
  for (const methods of discoveryMethods) {
    port.server.addService(
      Object.fromEntries(methods.map(({ name, definition }) => [name, definition])),
      Object.fromEntries(
        methods.map((method) => [method.name, handler(method, hub, calls, !!tls)]),
      ),
    );
  }
  const close = async () => {
    hub.close();
    const over = new GatewayError('SHUTTING_DOWN', 'This control plane is shutting down.');
    for (const call of calls) call.emit('error', toServiceError(over));
    await port.close();
  };
  return {
    hub,
    async listen() {
      const bound = await port.listen();
      logger.info({ address, port: bound, tls: tls !== undefined }, 'xDS server listens');
      return { hub, port: bound, close };
    },
  };
}

function handler(
  { protocol, typeUrl, definition }: DiscoveryMethod,
  hub: DiscoveryHub,
  calls: Set<Call>,
  secure: boolean,
): handleBidiStreamingCall<Buffer, Buffer> | handleUnaryCall<Buffer, Buffer> {
  if (!protocol) {
    const error = new GatewayError(
      'METHOD_UNKNOWN',
      `${definition.path} is not served: use the Stream or Delta method of the same service.`,
    );
    return (_call, done) => done(toServiceError(error));
  }
  return (call: Call) => {
    const peer = peerOf(call);
    const fail = (error: GatewayError) => call.emit('error', toServiceError(error));
    if (secure && !peer) {
      fail(new GatewayError('XDS_NODE_REFUSED', 'xDS needs a client certificate.'));
      return;
    }
    const stream = hub.connect({
      protocol,
      onlyType: typeUrl,
      peer,
      remoteAddress: call.getPeer(),
      sink: { write: (bytes) => call.write(bytes), end: fail },
    });
    calls.add(call);
    const over = () => {
      calls.delete(call);
      hub.disconnect(stream);
    };
    call.on('data', (bytes: Buffer) => stream.receive(bytes));
    call.on('drain', () => stream.drained());
    call.on('error', over);
    call.on('cancelled', over);
    call.on('end', () => {
      over();
      call.end();
    });
  };
}

function peerOf(call: Call): PeerIdentity | undefined {
  const certificate = call.getAuthContext().sslPeerCertificate;
  return certificate && peerIdentity(new X509Certificate(certificate.raw));
}

function isLocal(address: string): boolean {
  return address.startsWith('unix:') || isLoopback(address.slice(0, address.lastIndexOf(':')));
}

// The discovery services as grpc-js definitions that hand bytes through: requests are read and
// responses put together by the streams, without message objects.

interface DiscoveryMethod {
  readonly name: string;
  readonly definition: MethodDefinition<Buffer, Buffer>;
  /** Undefined for a REST-like Fetch, which is not served. */
  readonly protocol: Protocol['name'] | undefined;
  /** Undefined for the aggregated service. */
  readonly typeUrl: TypeUrl | undefined;
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

/** Every method of every discovery service. */
const discoveryMethods: readonly (readonly DiscoveryMethod[])[] = services.map(
  ([service, typeUrl]) =>
    service.methods.map((method) => ({
      name: method.localName,
      definition: {
        ...methodDefinition(method),
        requestSerialize: asOnTheWire,
        requestDeserialize: asOnTheWire,
        responseSerialize: asOnTheWire,
        responseDeserialize: asOnTheWire,
      },
      protocol: protocolOf(method),
      typeUrl,
    })),
);

function protocolOf(method: DescMethod): Protocol['name'] | undefined {
  if (method.methodKind !== 'bidi_streaming') return undefined;
  return method.input.name === 'DeltaDiscoveryRequest' ? 'delta' : 'sotw';
}
