/** RDS: where a request goes once authz has stamped it, and where it waits until then. */
import { create, type MessageInitShape } from '@bufbuild/protobuf';
import {
  type RouteConfiguration,
  RouteConfigurationSchema,
} from '#gen/envoy/config/route/v3/route_pb.js';
import {
  type HeaderMatcher,
  HeaderMatcherSchema,
  RouteAction_ClusterNotFoundResponseCode,
  type RouteMatchSchema,
  RouteSchema,
} from '#gen/envoy/config/route/v3/route_components_pb.js';
import { ExtAuthzPerRouteSchema } from '#gen/envoy/extensions/filters/http/ext_authz/v3/ext_authz_pb.js';
import {
  AFFINITY_HEADER,
  ANSWER_HEADER,
  CLUSTER_HEADER,
  PIN_HEADER,
  SPARK_CONNECT_SERVICE,
} from '../model/names.js';
import { CLONE_SESSION_PATH, withNewSessionId } from './clone-session.js';
import {
  duration,
  pack,
  type AuthzSettings,
  ResourceNames,
  StaticClusters,
  unassignedIdleTimeoutMs,
} from './settings.js';

/** Never defined: a request that arrives there was not stamped and is answered UNAVAILABLE. */
const NO_CLUSTER = 'unassigned';
/** For authz to say again what it has answered. */
const ANSWER_TIMEOUT_MS = 10_000;

/**
 * First match wins. Envoy matches again after authz has stamped the request (`clear_route_cache`), but
 * which filters a request passes is decided before that, so CloneSession has routes of its own:
 * 1. stamped with a cluster and a non-empty pin: the driver; a query may be silent for as long as it likes;
 * 2. stamped with an answer: authz, which gives it;
 * 3. any other RPC of Spark Connect: no driver. It is here that a request waits for authz and that a
 *    client stream which never sends its first message meets an idle timeout;
 * 4. anything else: 404 (gRPC: UNIMPLEMENTED) without asking authz.
 */
export function routes(authz: AuthzSettings): RouteConfiguration {
  const pathSpecifier = { case: 'prefix' as const, value: `/${SPARK_CONNECT_SERVICE}/` };
  const [driver, unassigned] = sessionRoutes('', pathSpecifier, authz);
  return create(RouteConfigurationSchema, {
    name: ResourceNames.routes,
    virtualHosts: [
      {
        name: 'spark_connect',
        domains: ['*'],
        routes: [
          ...sessionRoutes('clone_', { case: 'path', value: CLONE_SESSION_PATH }, authz).map(
            (route) => ({
              ...route,
              typedPerFilterConfig: withNewSessionId(),
            }),
          ),
          driver,
          {
            name: 'answered',
            match: { pathSpecifier, grpc: {}, headers: [nonEmpty(ANSWER_HEADER)] },
            action: {
              case: 'route',
              value: {
                clusterSpecifier: { case: 'cluster', value: StaticClusters.extAuthz },
                timeout: duration(ANSWER_TIMEOUT_MS),
              },
            },
          },
          unassigned,
          {
            name: 'not_served',
            match: { pathSpecifier: { case: 'prefix', value: '/' } },
            action: {
              case: 'directResponse',
              value: {
                status: 404,
                body: {
                  specifier: {
                    case: 'inlineString',
                    value: `Only gRPC calls of ${SPARK_CONNECT_SERVICE} are served here.`,
                  },
                },
              },
            },
            typedPerFilterConfig: {
              [ResourceNames.extAuthz]: pack(ExtAuthzPerRouteSchema, {
                override: { case: 'disabled', value: true },
              }),
            },
          },
        ],
      },
    ],
  });
}

type PathSpecifier = NonNullable<MessageInitShape<typeof RouteMatchSchema>['pathSpecifier']>;

/** To the driver of its session, and where a request is until it has one. */
function sessionRoutes(prefix: string, pathSpecifier: PathSpecifier, authz: AuthzSettings) {
  const clusterNotFoundResponseCode = RouteAction_ClusterNotFoundResponseCode.SERVICE_UNAVAILABLE;
  return [
    create(RouteSchema, {
      name: `${prefix}driver`,
      match: {
        pathSpecifier,
        grpc: {},
        headers: [nonEmpty(CLUSTER_HEADER), nonEmpty(PIN_HEADER)],
      },
      action: {
        case: 'route',
        value: {
          clusterSpecifier: { case: 'clusterHeader', value: CLUSTER_HEADER },
          clusterNotFoundResponseCode,
          timeout: duration(0),
          idleTimeout: duration(0),
          hashPolicy: [
            {
              policySpecifier: { case: 'header', value: { headerName: AFFINITY_HEADER } },
              terminal: true,
            },
          ],
        },
      },
    }),
    create(RouteSchema, {
      name: `${prefix}unassigned`,
      match: { pathSpecifier, grpc: {} },
      action: {
        case: 'route',
        value: {
          clusterSpecifier: { case: 'cluster', value: NO_CLUSTER },
          clusterNotFoundResponseCode,
          timeout: duration(0),
          idleTimeout: duration(unassignedIdleTimeoutMs(authz)),
        },
      },
    }),
  ] as const;
}

function nonEmpty(name: string): HeaderMatcher {
  return create(HeaderMatcherSchema, {
    name,
    headerMatchSpecifier: {
      case: 'stringMatch',
      value: { matchPattern: { case: 'safeRegex', value: { regex: '.+' } } },
    },
  });
}
