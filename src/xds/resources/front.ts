/** The resources that exist once: listener, routes and the authz filter. */
import { ClusterSchema } from '#gen/envoy/config/cluster/v3/cluster_pb.js';
import { TypedExtensionConfigSchema } from '#gen/envoy/config/core/v3/extension_pb.js';
import { ListenerSchema } from '#gen/envoy/config/listener/v3/listener_pb.js';
import { RouteConfigurationSchema } from '#gen/envoy/config/route/v3/route_pb.js';
import { type EncodedResource, encodeResource } from '../resource.js';
import { collectorCluster } from './collector.js';
import { extAuthz } from './ext-authz.js';
import { listener } from './listener.js';
import { routes } from './routes.js';
import { type EnvoySettings, ResourceNames } from './settings.js';

/** To be put into every view. Secrets are apart (`CertificateFiles`). */
export function frontResources(settings: EnvoySettings): readonly EncodedResource[] {
  const { collector } = settings;
  return [
    ...(collector
      ? [encodeResource(ClusterSchema, ResourceNames.collector, collectorCluster(collector))]
      : []),
    encodeResource(ListenerSchema, ResourceNames.listener, listener(settings.listener)),
    encodeResource(RouteConfigurationSchema, ResourceNames.routes, routes(settings.authz)),
    encodeResource(TypedExtensionConfigSchema, ResourceNames.extAuthz, extAuthz(settings.authz)),
  ];
}
