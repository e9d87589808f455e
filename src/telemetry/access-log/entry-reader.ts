/**
 * envoy.service.accesslog.v3.StreamAccessLogsMessage, the fields that are used here. Generated code
 * decodes everything and costs several times as much (bench/audit); a test compares the two.
 */
import { AccessLogType } from '#gen/envoy/data/accesslog/v3/accesslog_pb.js';
import { TextCache } from '../../lib/protobuf/text-cache.js';
import { bytesField, WireReader, WireType } from '../../lib/protobuf/wire.js';
import {
  AccessMetadata,
  AUTHZ_METADATA_NAMESPACE,
  LEASED_HEADER,
  rpcOfPath,
  SESSION_HEADER,
  TRACE_HEADER,
} from '../../model/names.js';
import type { AccessRecord, ConnectionEnd } from './access-record.js';
import { PackedMetadata, setFound } from './found.js';

/** What one message of an access log stream holds. */
export interface AccessLogMessage {
  /** Id of the Envoy, which says it in the first message of a stream only. */
  readonly node: string | undefined;
  /** The field that says it, as it came: put before a later message, it makes that a first one. */
  readonly introduction: Buffer | undefined;
  readonly records: readonly AccessRecord[];
  /** Where the entry of each record begins and ends. */
  readonly places: readonly number[];
  /** Of RPCs without a record, which whoever passed the message on has left out: how long they took, milliseconds. */
  readonly leftOutMs: readonly number[];
  readonly connectionEnds: readonly ConnectionEnd[];
  /** Entries that lack what a record needs, or are of a kind that was not asked for; 1 for a message without any. */
  readonly malformed: number;
}

/** Field numbers of the messages, named as in the protos; the last one is this gateway's own (relay-feed.ts). */
export const MessageField = { identifier: 1, http_logs: 2, tcp_logs: 3, left_out: 1000 } as const;
const IdentifierField = { node: 1 } as const;
const NodeField = { id: 1 } as const;
export const LogsField = { log_entry: 1 } as const;
const EntryField = { common_properties: 1, request: 3, response: 4 } as const;
const CommonField = {
  downstream_remote_address: 2,
  start_time: 5,
  metadata: 17,
  downstream_direct_remote_address: 20,
  duration: 23,
  stream_id: 26,
  downstream_wire_bytes_sent: 29,
  downstream_wire_bytes_received: 30,
  access_log_type: 33,
} as const;
const TimeField = { seconds: 1, nanos: 2 } as const;
const AddressField = { socket_address: 1 } as const;
const SocketAddressField = { address: 2, port_value: 3 } as const;
const MetadataField = { filter_metadata: 1 } as const;
const MapEntryField = { key: 1, value: 2 } as const;
const StructField = { fields: 1 } as const;
const ValueField = { string_value: 3 } as const;
const RequestField = { path: 5, request_id: 9, request_headers: 13 } as const;
const ResponseField = {
  response_headers: 4,
  response_trailers: 5,
  response_code_details: 6,
} as const;

const kinds = new Map<number, AccessRecord['kind']>([
  [AccessLogType.UpstreamPoolReady, 'running'],
  [AccessLogType.DownstreamEnd, 'ended'],
  [AccessLogType.DownstreamPeriodic, 'running'],
]);

const GRPC_STATUS = 'grpc-status';
const GRPC_MESSAGE = 'grpc-message';
/** Spark's error class begins the message. Nothing else of it is kept: it is the user's own. */
const SESSION_CLOSED = '[INVALID_HANDLE.SESSION_CLOSED]';

type Mutable<T> = { -readonly [Key in keyof T]: T[Key] };

/** A record whose entry may still lack what makes it one. */
type Unfinished = Omit<Mutable<AccessRecord>, 'kind' | 'startedAtMs'> & {
  kind: AccessRecord['kind'] | undefined;
  startedAtMs: number | undefined;
};

/** What a request says of itself, which counts where the rest of its entry does not say it. */
interface Said {
  requestId: string | undefined;
  session: string | undefined;
  /** The entry is of the beginning of its way to the driver. */
  isStart: boolean;
  /** It left by a lease, and has lost its id with that. */
  isLeased: boolean;
  /** When it began: a Timestamp, as it came. */
  began: { readonly start: number; readonly end: number } | undefined;
}

/** Reads the messages of any number of streams; what comes again in them is the same string. */
export class EntryReader {
  readonly #texts = new TextCache({ places: 16_384, maxBytes: 4 * 1024 * 1024 });
  readonly #packed = new PackedMetadata();
  readonly #message = new WireReader(Buffer.alloc(0), 0, 0);

  /**
   * Throws MalformedMessage.
   * @param envoy of the records, where the message does not say it
   */
  read(bytes: Buffer, envoy: string): AccessLogMessage {
    let node: string | undefined;
    let introduction: Buffer | undefined;
    let malformed = 1;
    const records: Mutable<AccessRecord>[] = [];
    const places: number[] = [];
    let leftOutMs: readonly number[] = [];
    const connectionEnds: ConnectionEnd[] = [];
    const message = this.#message.reset(bytes, 0, bytes.length);
    while (message.nextBytes()) {
      const { field, start, end } = message;
      if (field === MessageField.identifier) {
        node = this.#node(bytes, message.inner()) ?? node;
        introduction = bytesField(MessageField.identifier, bytes.subarray(start, end));
        continue;
      }
      if (field === MessageField.left_out) leftOutMs = numbers(bytes, start, end);
      if (field !== MessageField.http_logs && field !== MessageField.tcp_logs) continue;
      malformed = 0;
      const logs = message.inner();
      while (logs.nextBytes()) {
        if (logs.field !== LogsField.log_entry) continue;
        if (field === MessageField.http_logs) {
          const record = this.#record(bytes, logs.inner());
          if (record) {
            records.push(record);
            places.push(logs.start, logs.end);
          } else malformed += 1;
        } else {
          const connectionEnd = this.#connectionEnd(bytes, logs.inner());
          if (connectionEnd) connectionEnds.push(connectionEnd);
          else malformed += 1;
        }
      }
    }
    for (const record of records) record.envoy = node || envoy;
    return { node, introduction, records, places, leftOutMs, connectionEnds, malformed };
  }

  #node(bytes: Buffer, identifier: WireReader): string | undefined {
    let id: string | undefined;
    while (identifier.nextBytes()) {
      if (identifier.field !== IdentifierField.node) continue;
      const node = identifier.inner();
      while (node.nextBytes()) if (node.field === NodeField.id) id = this.#text(bytes, node);
    }
    return id;
  }

  #record(bytes: Buffer, entry: WireReader): Mutable<AccessRecord> | undefined {
    const record = unfinished();
    const said: Said = {
      requestId: undefined,
      session: undefined,
      isStart: false,
      isLeased: false,
      began: undefined,
    };
    let hasRequest = false;
    while (entry.nextBytes()) {
      if (entry.field === EntryField.common_properties) {
        this.#common(bytes, entry.inner(), record, said);
      } else if (entry.field === EntryField.request) {
        hasRequest = true;
        this.#request(bytes, entry.inner(), record, said);
      } else if (entry.field === EntryField.response) this.#response(bytes, entry.inner(), record);
    }
    if (said.isStart) {
      // It knows neither the stream's id nor what authz said beside the headers.
      record.requestId = said.requestId ?? '';
      record.session = said.session;
    }
    if (said.isLeased && said.began && record.requestId === '') {
      // The same for whoever reads the entry, and no other's: when it began, in nanoseconds, and on which connection.
      const began = bytes.toString('hex', said.began.start, said.began.end);
      record.requestId = `${began}-${record.connection ?? ''}`;
    }
    return hasRequest && isRecord(record) ? record : undefined;
  }

  #common(bytes: Buffer, common: WireReader, record: Unfinished, said: Said): void {
    while (common.next() === 'field') {
      switch (common.field) {
        case CommonField.stream_id:
          record.requestId = bytes.toString('utf8', common.start, common.end);
          break;
        case CommonField.start_time:
          record.startedAtMs = milliseconds(common.inner());
          said.began = { start: common.start, end: common.end };
          break;
        case CommonField.duration:
          record.durationMs = milliseconds(common.inner());
          break;
        case CommonField.access_log_type:
          record.kind = kinds.get(common.value);
          said.isStart = common.value === AccessLogType.UpstreamPoolReady;
          break;
        case CommonField.downstream_wire_bytes_sent:
          record.bytesSent = common.wide;
          break;
        case CommonField.downstream_wire_bytes_received:
          record.bytesReceived = common.wide;
          break;
        case CommonField.downstream_remote_address:
          record.client = this.#address(bytes, common.inner())?.host;
          break;
        case CommonField.downstream_direct_remote_address:
          record.connection = connectionName(this.#address(bytes, common.inner()));
          break;
        case CommonField.metadata:
          this.#metadata(bytes, common.inner(), record);
          break;
      }
    }
  }

  #metadata(bytes: Buffer, metadata: WireReader, record: Unfinished): void {
    while (metadata.nextBytes()) {
      if (metadata.field !== MetadataField.filter_metadata) continue;
      const entry = this.#mapEntry(bytes, metadata.inner());
      if (entry.key !== AUTHZ_METADATA_NAMESPACE) continue;
      const struct = metadata.inner(entry.start, entry.end);
      while (struct.nextBytes()) {
        if (struct.field !== StructField.fields) continue;
        const { key, start: from, end: to } = this.#mapEntry(bytes, struct.inner());
        const value = struct.inner(from, to);
        while (value.nextBytes()) {
          if (value.field === ValueField.string_value && value.end > value.start) {
            const text = this.#text(bytes, value);
            if (key === AccessMetadata.packed) this.#packed.read(record, text);
            else setFound(record, key, text);
          }
        }
      }
    }
  }

  #request(bytes: Buffer, request: WireReader, record: Unfinished, said: Said): void {
    while (request.nextBytes()) {
      if (request.field === RequestField.path) {
        record.method = rpcOfPath(this.#text(bytes, request));
      } else if (request.field === RequestField.request_id) {
        said.requestId = bytes.toString('utf8', request.start, request.end);
      } else if (request.field === RequestField.request_headers) {
        const header = this.#mapEntry(bytes, request.inner());
        if (header.key === TRACE_HEADER) {
          record.traceId = traceId(bytes.toString('latin1', header.start, header.end));
        } else if (header.key === LEASED_HEADER) {
          said.isLeased = true;
          this.#packed.read(record, this.#text(bytes, header));
        } else if (header.key === SESSION_HEADER) {
          said.session = bytes.toString('utf8', header.start, header.end);
        }
      }
    }
  }

  /** The status is in the trailers, or in the headers of an answer without a message. */
  #response(bytes: Buffer, response: WireReader, record: Unfinished): void {
    const inHeaders: Status = { code: undefined, isThere: false, isClosed: false };
    const inTrailers: Status = { code: undefined, isThere: false, isClosed: false };
    while (response.nextBytes()) {
      switch (response.field) {
        case ResponseField.response_code_details:
          record.details = this.#text(bytes, response);
          break;
        case ResponseField.response_headers:
          this.#status(bytes, response.inner(), inHeaders);
          break;
        case ResponseField.response_trailers:
          this.#status(bytes, response.inner(), inTrailers);
          break;
      }
    }
    record.grpcStatus = inTrailers.isThere ? inTrailers.code : inHeaders.code;
    record.sessionClosed = saysClosed(inTrailers) || saysClosed(inHeaders) || undefined;
  }

  #status(bytes: Buffer, entry: WireReader, status: Status): void {
    const header = this.#mapEntry(bytes, entry);
    if (header.key === GRPC_STATUS) {
      status.isThere = true;
      status.code = grpcStatus(bytes, header.start, header.end);
    } else if (header.key === GRPC_MESSAGE) {
      const end = Math.min(header.end, header.start + SESSION_CLOSED.length);
      status.isClosed = bytes.toString('latin1', header.start, end) === SESSION_CLOSED;
    }
  }

  #connectionEnd(bytes: Buffer, entry: WireReader): ConnectionEnd | undefined {
    let connection: string | undefined;
    let startedAtMs: number | undefined;
    let lastedMs = 0;
    while (entry.nextBytes()) {
      if (entry.field !== EntryField.common_properties) continue;
      const common = entry.inner();
      while (common.nextBytes()) {
        if (common.field === CommonField.downstream_direct_remote_address) {
          connection = connectionName(this.#address(bytes, common.inner()));
        } else if (common.field === CommonField.start_time) {
          startedAtMs = milliseconds(common.inner());
        } else if (common.field === CommonField.duration) lastedMs = milliseconds(common.inner());
      }
    }
    if (connection === undefined || startedAtMs === undefined) return undefined;
    return { connection, atMs: startedAtMs + lastedMs };
  }

  /** Undefined for an address that is no IP address. */
  #address(bytes: Buffer, address: WireReader): HostAndPort | undefined {
    let host: string | undefined;
    let port: number | undefined;
    while (address.nextBytes()) {
      if (address.field !== AddressField.socket_address) continue;
      host = '';
      const socket = address.inner();
      while (socket.next() === 'field') {
        if (socket.field === SocketAddressField.address) host = this.#text(bytes, socket);
        else if (socket.field === SocketAddressField.port_value) port = socket.value;
      }
    }
    return host === undefined ? undefined : { host, port };
  }

  #mapEntry(bytes: Buffer, entry: WireReader): MapEntry {
    const found: MapEntry = { key: '', start: 0, end: 0 };
    while (entry.nextBytes()) {
      if (entry.field === MapEntryField.key) found.key = this.#text(bytes, entry);
      else if (entry.field === MapEntryField.value) {
        found.start = entry.start;
        found.end = entry.end;
      }
    }
    return found;
  }

  #text(bytes: Buffer, { start, end }: Pick<WireReader, 'start' | 'end'>): string {
    return this.#texts.text(bytes, start, end);
  }
}

interface HostAndPort {
  readonly host: string;
  readonly port: number | undefined;
}

/** Of headers or trailers. */
interface Status {
  code: number | undefined;
  isThere: boolean;
  /** The message says that the session has ended in its driver. */
  isClosed: boolean;
}

interface MapEntry {
  key: string;
  start: number;
  end: number;
}

function unfinished(): Unfinished {
  return {
    kind: undefined,
    requestId: '',
    envoy: '',
    startedAtMs: undefined,
    durationMs: undefined,
    method: 'other',
    session: undefined,
    principal: undefined,
    issuer: undefined,
    team: undefined,
    environment: undefined,
    namespace: undefined,
    driver: undefined,
    claimedUser: undefined,
    comesBack: undefined,
    refusal: undefined,
    sessionClosed: undefined,
    grpcStatus: undefined,
    details: '',
    bytesReceived: 0,
    bytesSent: 0,
    client: undefined,
    connection: undefined,
    traceId: undefined,
  };
}

function isRecord(record: Unfinished): record is Mutable<AccessRecord> {
  return record.kind !== undefined && record.startedAtMs !== undefined && record.requestId !== '';
}

/** google.protobuf.Timestamp or Duration, rounded. */
function milliseconds(time: WireReader): number {
  let seconds = 0;
  let nanos = 0;
  while (time.next() === 'field') {
    if (time.wireType !== WireType.VARINT) continue;
    if (time.field === TimeField.seconds) seconds = time.wide;
    else if (time.field === TimeField.nanos) nanos = time.value;
  }
  return seconds * 1000 + Math.round(nanos / 1_000_000);
}

function saysClosed({ code, isClosed }: Status): boolean {
  return isClosed && code !== undefined && code !== 0;
}

function connectionName(address: HostAndPort | undefined): string | undefined {
  return address?.port === undefined ? undefined : `${address.host} ${address.port}`;
}

/** One or two digits; undefined for anything else. */
function grpcStatus(bytes: Buffer, start: number, end: number): number | undefined {
  if (end - start < 1 || end - start > 2) return undefined;
  let status = 0;
  for (let i = start; i < end; i++) {
    const digit = (bytes[i] ?? 0) - 0x30;
    if (digit < 0 || digit > 9) return undefined;
    status = status * 10 + digit;
  }
  return status;
}

/** https://www.w3.org/TR/trace-context/#traceparent-header: version, trace id, parent id, flags. */
function traceId(traceparent: string): string | undefined {
  return /^[0-9a-f]{2}-([0-9a-f]{32})-[0-9a-f]{16}-[0-9a-f]{2}/.exec(traceparent)?.[1];
}

/** Varints, one after the other. */
function numbers(bytes: Buffer, start: number, end: number): number[] {
  const found: number[] = [];
  let value = 0;
  let factor = 1;
  for (let i = start; i < end; i++) {
    const byte = bytes[i] ?? 0;
    value += (byte & 0x7f) * factor;
    factor *= 128;
    if (byte > 0x7f) continue;
    found.push(value);
    value = 0;
    factor = 1;
  }
  return found;
}
