/** TLS contexts whose certificates come by SDS, so that a rotation changes no listener and no cluster. */
import type { TransportSocket } from '#gen/envoy/config/core/v3/base_pb.js';
import { create } from '@bufbuild/protobuf';
import { TransportSocketSchema } from '#gen/envoy/config/core/v3/base_pb.js';
import {
  DownstreamTlsContextSchema,
  UpstreamTlsContextSchema,
} from '#gen/envoy/extensions/transport_sockets/tls/v3/tls_pb.js';
import { TlsParameters_TlsProtocol } from '#gen/envoy/extensions/transport_sockets/tls/v3/common_pb.js';
import { fromAds, pack } from './common.js';
import { ResourceNames } from './settings.js';

const tlsParams = { tlsMinimumProtocolVersion: TlsParameters_TlsProtocol.TLSv1_2 };

/**
 * The front. Client certificates are asked for while the `client_ca` secret names an authority, and
 * stay optional: one that is shown must verify.
 */
export function frontTransportSocket(): TransportSocket {
  return create(TransportSocketSchema, {
    name: 'envoy.transport_sockets.tls',
    configType: {
      case: 'typedConfig',
      value: pack(DownstreamTlsContextSchema, {
        commonTlsContext: {
          tlsParams,
          alpnProtocols: ['h2', 'http/1.1'],
          tlsCertificateSdsSecretConfigs: [
            { name: ResourceNames.frontCertificate, sdsConfig: fromAds() },
          ],
          validationContextType: {
            case: 'validationContextSdsSecretConfig',
            value: { name: ResourceNames.clientCa, sdsConfig: fromAds() },
          },
        },
      }),
    },
  });
}

/** Mutual TLS to drivers. */
export function driverTransportSocket(serverName = ''): TransportSocket {
  return create(TransportSocketSchema, {
    name: 'envoy.transport_sockets.tls',
    configType: {
      case: 'typedConfig',
      value: pack(UpstreamTlsContextSchema, {
        sni: serverName,
        commonTlsContext: {
          tlsParams,
          alpnProtocols: ['h2'],
          tlsCertificateSdsSecretConfigs: [
            { name: ResourceNames.driverClientCertificate, sdsConfig: fromAds() },
          ],
          validationContextType: {
            case: 'validationContextSdsSecretConfig',
            value: { name: ResourceNames.driverCa, sdsConfig: fromAds() },
          },
        },
      }),
    },
  });
}
