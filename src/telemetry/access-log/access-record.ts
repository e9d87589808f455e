/** What the gateway takes from one of Envoy's access log entries. */
import { type Timestamp, durationMs, timestampMs } from '@bufbuild/protobuf/wkt';
import { Counter, Gauge, Histogram, type Registry } from 'prom-client';
import type { Address } from '#gen/envoy/config/core/v3/address_pb.js';
import {
  AccessLogType,
  type HTTPAccessLogEntry,
  type TCPAccessLogEntry,
} from '#gen/envoy/data/accesslog/v3/accesslog_pb.js';
import {
  AccessMetadata,
  AUTHZ_METADATA_NAMESPACE,
  rpcOfPath,
  SESSION_HEADER,
  type SparkRpc,
  TRACE_HEADER,
} from '../../model/names.js';

/** One RPC, running or ended. What authz had not found out when it refused is undefined. */
export interface AccessRecord {
  readonly kind: 'running' | 'ended';
  /** Unique for each RPC: Envoy's request id. */
  readonly streamId: string;
  readonly startedAtMs: number;
  readonly durationMs: number | undefined;
  readonly method: SparkRpc | 'other';
  readonly session: string | undefined;
  readonly principal: string | undefined;
  readonly issuer: string | undefined;
  readonly team: string | undefined;
  readonly environment: string | undefined;
  readonly namespace: string | undefined;
  readonly driver: string | undefined;
  readonly claimedUser: string | undefined;
  /** It was a ReleaseSession after which the client means to come back. */
  readonly comesBack: true | undefined;
  /** Code of the GatewayError with which authz refused. */
  readonly refusal: string | undefined;
  /** The driver has answered that the session has ended there. */
  readonly sessionClosed: true | undefined;
  /** Undefined when the client was given none, as when it went away. */
  readonly grpcStatus: number | undefined;
  /** Envoy's word on how the response came about (`via_upstream`, `ext_authz_denied`, …). */
  readonly details: string;
  /** On the wire, from and to the client. */
  readonly bytesReceived: number;
  readonly bytesSent: number;
  readonly client: string | undefined;
  /** The client's TCP connection: its address and port, unique while it lasts. */
  readonly connection: string | undefined;
  /** From the `traceparent` that the driver was sent, 32 hexadecimal digits. */
  readonly traceId: string | undefined;
}

/** @returns undefined for an entry that is malformed or of a kind that was not asked for. */
export function accessRecord(entry: HTTPAccessLogEntry): AccessRecord | undefined {
  const { commonProperties: common, request, response } = entry;
  const kind = common && kindOf(common.accessLogType);
  const isStart = common?.accessLogType === AccessLogType.UpstreamPoolReady;
  // What a request's way to its driver begins with knows neither the stream's id nor what authz said
  // beside the headers.
  const streamId = isStart ? request?.requestId : common?.streamId;
  if (!common || !request || !kind || !streamId) return undefined;
  const startedAtMs = milliseconds(common.startTime);
  if (startedAtMs === undefined) return undefined;
  const metadata = common.metadata?.filterMetadata[AUTHZ_METADATA_NAMESPACE] ?? {};
  const text = (key: string) => {
    const value = metadata[key];
    return typeof value === 'string' && value !== '' ? value : undefined;
  };
  return {
    kind,
    streamId,
    startedAtMs,
    durationMs: common.duration && durationMs(common.duration),
    method: rpcOfPath(request.path),
    session: isStart ? request.requestHeaders[SESSION_HEADER] : text(AccessMetadata.session),
    principal: text(AccessMetadata.principal),
    issuer: text(AccessMetadata.issuer),
    team: text(AccessMetadata.team),
    environment: text(AccessMetadata.environment),
    namespace: text(AccessMetadata.namespace),
    driver: text(AccessMetadata.driver),
    claimedUser: text(AccessMetadata.claimedUser),
    comesBack: text(AccessMetadata.comesBack) === 'true' ? true : undefined,
    refusal: text(AccessMetadata.refusal),
    sessionClosed: isClosed(response?.responseTrailers) || isClosed(response?.responseHeaders),
    grpcStatus: grpcStatus(
      response?.responseTrailers['grpc-status'] ?? response?.responseHeaders['grpc-status'],
    ),
    details: response?.responseCodeDetails ?? '',
    bytesReceived: Number(common.downstreamWireBytesReceived),
    bytesSent: Number(common.downstreamWireBytesSent),
    client: ipAddress(common.downstreamRemoteAddress),
    connection: connection(common.downstreamDirectRemoteAddress),
    traceId: traceId(request.requestHeaders[TRACE_HEADER]),
  };
}

/** https://www.w3.org/TR/trace-context/#traceparent-header: version, trace id, parent id, flags. */
function traceId(traceparent: string | undefined): string | undefined {
  return /^[0-9a-f]{2}-([0-9a-f]{32})-[0-9a-f]{16}-[0-9a-f]{2}/.exec(traceparent ?? '')?.[1];
}

function kindOf(type: AccessLogType): AccessRecord['kind'] | undefined {
  switch (type) {
    case AccessLogType.UpstreamPoolReady:
    case AccessLogType.DownstreamPeriodic:
      return 'running';
    case AccessLogType.DownstreamEnd:
      return 'ended';
    default:
      return undefined;
  }
}

function grpcStatus(text: string | undefined): number | undefined {
  return text !== undefined && /^\d{1,2}$/.test(text) ? Number(text) : undefined;
}

/** Spark's error class begins the message. Nothing else of it is kept: it is the user's own. */
function isClosed(headers: Readonly<Record<string, string>> | undefined): true | undefined {
  const status = grpcStatus(headers?.['grpc-status']);
  if (status === undefined || status === 0) return undefined;
  return headers?.['grpc-message']?.startsWith('[INVALID_HANDLE.SESSION_CLOSED]') || undefined;
}

function milliseconds(timestamp: Timestamp | undefined): number | undefined {
  return timestamp && timestampMs(timestamp);
}

function ipAddress(address: Address | undefined): string | undefined {
  return address?.address.case === 'socketAddress' ? address.address.value.address : undefined;
}

/** The end of a client's TCP connection. */
export interface ConnectionEnd {
  /** As in its requests' records. */
  readonly connection: string;
  readonly atMs: number;
}

/** @returns undefined for an entry that is malformed or of a kind that was not asked for. */
export function connectionEnd({ commonProperties: common }: TCPAccessLogEntry) {
  const name = connection(common?.downstreamDirectRemoteAddress);
  const startedAtMs = milliseconds(common?.startTime);
  if (name === undefined || startedAtMs === undefined) return undefined;
  const lastedMs = common?.duration === undefined ? 0 : durationMs(common.duration);
  return { connection: name, atMs: startedAtMs + lastedMs };
}

function connection(address: Address | undefined): string | undefined {
  if (address?.address.case !== 'socketAddress') return undefined;
  const { address: host, portSpecifier } = address.address.value;
  return portSpecifier.case === 'portValue' ? `${host} ${portSpecifier.value}` : undefined;
}

// Metrics of the RPCs that clients make, from Envoy's access log.

const labelNames = ['method', 'team', 'environment'] as const;

export interface RequestMetrics {
  observe(record: AccessRecord): void;
  malformed(count: number): void;
  reporters(count: number): void;
}

/**
 * Team and environment are set only for a request that was let through, so that refused ones cannot
 * make new series.
 */
export function requestMetrics(registry: Registry): RequestMetrics {
  const registers = [registry];
  const duration = new Histogram({
    name: 'spark_gateway_request_duration_seconds',
    help: 'Time from the first byte of a request to the last of its response.',
    labelNames,
    buckets: [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300],
    registers,
  });
  const errors = new Counter({
    name: 'spark_gateway_request_errors_total',
    help: 'Requests that ended with a gRPC status other than OK, or with none.',
    labelNames: [...labelNames, 'grpc_status'],
    registers,
  });
  const success = new Counter({
    name: 'spark_gateway_request_success_total',
    help: 'Requests that ended with gRPC status OK.',
    labelNames,
    registers,
  });
  const malformed = new Counter({
    name: 'spark_gateway_access_log_malformed_total',
    help: 'Access log entries that could not be read and were ignored.',
    registers,
  });
  const reporters = new Gauge({
    name: 'spark_gateway_access_log_reporters',
    help: 'Envoys whose access log is connected.',
    registers,
  });
  return {
    observe(record) {
      if (record.kind !== 'ended') return;
      const labels = {
        method: record.method,
        team: record.refusal === undefined ? (record.team ?? '') : '',
        environment: record.refusal === undefined ? (record.environment ?? '') : '',
      };
      if (record.durationMs !== undefined) duration.observe(labels, record.durationMs / 1000);
      if (record.grpcStatus === 0) success.inc(labels);
      else errors.inc({ ...labels, grpc_status: record.grpcStatus?.toString() ?? 'none' });
    },
    malformed: (count) => malformed.inc(count),
    reporters: (count) => reporters.set(count),
  };
}
