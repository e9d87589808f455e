/** RDS: where a request goes once authz has stamped it, and where it waits until then. */
import { create, type UnknownField } from '@bufbuild/protobuf';
import { UInt64ValueSchema } from '@bufbuild/protobuf/wkt';
import {
  type RouteConfiguration,
  RouteConfigurationSchema,
} from '#gen/envoy/config/route/v3/route_pb.js';
import {
  type HeaderMatcher,
  HeaderMatcherSchema,
  RouteAction_ClusterNotFoundResponseCode,
  type RouteAction,
  RouteActionSchema,
  type Route,
  RouteSchema,
} from '#gen/envoy/config/route/v3/route_components_pb.js';
import { ExtAuthzPerRouteSchema } from '#gen/envoy/extensions/filters/http/ext_authz/v3/ext_authz_pb.js';
import {
  AFFINITY_HEADER,
  ANSWER_HEADER,
  CLUSTER_HEADER,
  LEASE_HEADER,
  LEASED_HEADER,
  type LeasedRpc,
  PIN_HEADER,
  rpcPath,
  SPARK_CONNECT_SERVICE,
} from '../model/names.js';
import { CLONE_SESSION_PATH, withNewSessionId } from './clone-session.js';
import { withCounts, withLease, withoutLease } from './lease.js';
import {
  duration,
  MAX_WAIT_BYTES,
  newerField,
  pack,
  type EnvoySettings,
  ResourceNames,
  StaticClusters,
  unassignedIdleTimeoutMs,
  unassignedLimitMs,
} from './settings.js';
import { UPLOAD_PATH, withUploadLimit } from './upload-limit.js';

/** Of drivers that say nothing else. */
const MAX_MESSAGE_BYTES = 256 * 1024 * 1024;

/** Never defined: a request that arrives there was not stamped and is answered UNAVAILABLE. */
const NO_CLUSTER = 'unassigned';
/** For authz to say again what it has answered. */
const ANSWER_TIMEOUT_MS = 10_000;

/**
 * The first match wins. Envoy matches again after authz has stamped the request (`clear_route_cache`), but
 * whether it passes a filter of its own is decided before that, so CloneSession and AddArtifacts have two routes each:
 * 1. stamped with an answer: authz, which gives it; before what any RPC has for requests that are not stamped,
 *    but for ReleaseExecute, which authz never answers;
 * 2. stamped with a cluster and a non-empty pin: the driver; a query may be silent for as long as it likes,
 *    the messages of an upload are looked at (upload-limit.ts);
 *    ReleaseExecute and Config have routes of their own for their leases (lease.ts);
 * 3. any other RPC of Spark Connect: no driver. It is here that a request waits for authz and that a
 *    client stream which never sends its first message, or sends it byte by byte, meets a timeout;
 * 4. anything else: 404 (gRPC: UNIMPLEMENTED) without asking authz.
 */
export function routes(
  settings: Pick<EnvoySettings, 'authz' | 'drivers' | 'listener'>,
): RouteConfiguration {
  const { authz, listener } = settings;
  const assigned = { grpc: {}, headers: stamped() };
  const pathSpecifier = { case: 'prefix' as const, value: `/${SPARK_CONNECT_SERVICE}/` };
  const unassigned = {
    match: { pathSpecifier, grpc: {} },
    action: {
      case: 'route' as const,
      value: create(RouteActionSchema, {
        clusterSpecifier: { case: 'cluster' as const, value: NO_CLUSTER },
        clusterNotFoundResponseCode: RouteAction_ClusterNotFoundResponseCode.SERVICE_UNAVAILABLE,
        timeout: duration(0),
        idleTimeout: duration(unassignedIdleTimeoutMs(authz)),
        // Ends with the choice of the driver's route.
        maxStreamDuration: { maxStreamDuration: duration(unassignedLimitMs(authz)) },
      }),
    },
  };
  const clone = { case: 'path' as const, value: CLONE_SESSION_PATH };
  const upload = { case: 'path' as const, value: UPLOAD_PATH };
  const limited = withUploadLimit(settings.drivers.maxMessageBytes ?? MAX_MESSAGE_BYTES);
  return create(RouteConfigurationSchema, {
    name: ResourceNames.routes,
    virtualHosts: [
      {
        name: 'spark_connect',
        domains: ['*'],
        // What Envoy adds for servers that ask who the client is.
        requestHeadersToRemove: [
          'x-forwarded-for',
          'x-forwarded-proto',
          'x-envoy-external-address',
        ],
        routes: [
          // First, as nearly all requests are for one of these.
          ...leaseRoutes('ReleaseExecute', unassigned.action.value, {
            leases: authz.leases === true,
            counts: true,
            // A new text each time, so that HTTP/2 cannot shorten it, which no driver reads. A failure has another in
            // its record (telemetry/access-log/entry-reader.ts).
            removed: ['x-request-id'],
          }),
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
          // A trace shows what authz did of a Config, which a lease leaves out.
          ...(authz.leases === true && !listener.tracing
            ? leaseRoutes('Config', unassigned.action.value, {
                leases: true,
                counts: false,
                removed: [],
              })
            : []),
          {
            name: 'driver_clone',
            match: { pathSpecifier: clone, ...assigned },
            action: toDriver(),
            typedPerFilterConfig: withNewSessionId(),
          },
          {
            ...unassigned,
            name: 'unassigned_clone',
            match: { pathSpecifier: clone, grpc: {} },
            typedPerFilterConfig: withNewSessionId(),
          },
          {
            name: 'driver_upload',
            match: { pathSpecifier: upload, ...assigned },
            action: toDriver(),
            typedPerFilterConfig: limited,
          },
          {
            ...unassigned,
            name: 'unassigned_upload',
            match: { pathSpecifier: upload, grpc: {} },
            typedPerFilterConfig: limited,
          },
          { name: 'driver', match: { pathSpecifier, ...assigned }, action: toDriver() },
          { ...unassigned, name: 'unassigned' },
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
            typedPerFilterConfig: withoutAuthz(),
          },
        ],
      },
    ],
  });
}

/** By a lease the RPC leaves without authz, and else it asks for one. */
function leaseRoutes(
  rpc: LeasedRpc,
  unassigned: RouteAction,
  { leases, counts, removed }: { leases: boolean; counts: boolean; removed: readonly string[] },
): Route[] {
  const pathSpecifier = { case: 'path' as const, value: rpcPath(rpc) };
  const counted = counts ? withCounts() : {};
  const filters = leases ? { ...withLease(rpc), ...counted } : counted;
  const waiting = create(RouteSchema, {
    action: { case: 'route', value: unassigned },
    name: `unassigned_${rpc}`,
    match: { pathSpecifier, grpc: {} },
    typedPerFilterConfig: filters,
  });
  if (leases) waiting.$unknown = [bufferLimit(MAX_WAIT_BYTES)];
  return [
    create(RouteSchema, {
      name: `leased_${rpc}`,
      // Nothing but a lease stamps it.
      match: { pathSpecifier, grpc: {}, headers: [there(LEASED_HEADER)] },
      action: toDriver(),
      // The user's other credential.
      requestHeadersToRemove: ['authentication', ...removed],
      responseHeadersToRemove: [LEASE_HEADER],
      // Counted by Envoy, as authz is not asked: vhost.spark_connect.route.leased.
      statPrefix: 'leased',
      typedPerFilterConfig: { ...counted, ...withoutLease(), ...withoutAuthz() },
    }),
    create(RouteSchema, {
      name: `driver_${rpc}`,
      match: { pathSpecifier, grpc: {}, headers: stamped() },
      action: toDriver(),
      // Only authz gives leases, and its header is added after this: a driver's own would be for whomever it names.
      responseHeadersToRemove: [LEASE_HEADER],
      typedPerFilterConfig: filters,
    }),
    waiting,
  ];
}

/** `Route.request_body_buffer_limit`. */
function bufferLimit(bytes: number): UnknownField {
  return newerField(20, UInt64ValueSchema, { value: BigInt(bytes) });
}

function withoutAuthz() {
  return {
    [ResourceNames.extAuthz]: pack(ExtAuthzPerRouteSchema, {
      override: { case: 'disabled', value: true },
    }),
  };
}

/** By authz, for a driver. */
function stamped(): HeaderMatcher[] {
  return [there(CLUSTER_HEADER), nonEmpty(PIN_HEADER)];
}

function there(name: string): HeaderMatcher {
  return create(HeaderMatcherSchema, {
    name,
    headerMatchSpecifier: { case: 'presentMatch', value: true },
  });
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

function toDriver() {
  return {
    case: 'route' as const,
    value: create(RouteActionSchema, {
      clusterSpecifier: { case: 'clusterHeader', value: CLUSTER_HEADER },
      clusterNotFoundResponseCode: RouteAction_ClusterNotFoundResponseCode.SERVICE_UNAVAILABLE,
      timeout: duration(0),
      idleTimeout: duration(0),
      hashPolicy: [
        {
          policySpecifier: { case: 'header', value: { headerName: AFFINITY_HEADER } },
          terminal: true,
        },
      ],
    }),
  };
}
