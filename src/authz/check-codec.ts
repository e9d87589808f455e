/**
 * envoy.service.auth.v3.CheckRequest and CheckResponse, the fields that are used here. Generated code
 * decodes everything and costs several times as much (bench/authz); a test compares the two.
 */
import { WireReader, WireType } from './wire.js';
import { WireWriter } from './wire-writer.js';

export interface CheckRequest {
  /** As in `:path`. */
  readonly path: string;
  /** As in `:authority`. */
  readonly host: string;
  /** Names in lower case; a header that came more than once has its values joined with commas. */
  readonly headers: ReadonlyMap<string, string>;
  /** The first bytes of the body. */
  readonly body: Buffer;
  /** IP address of the client; empty if it has none. */
  readonly sourceAddress: string;
  /** The identity in the client's verified certificate: a URI SAN, else a DNS SAN, else the subject. */
  readonly peerPrincipal: string;
  /** The client's verified certificate as URL-encoded PEM, if the filter sends it. */
  readonly peerCertificate: string;
}

export interface HeaderMutation {
  readonly name: string;
  readonly value: string;
}

export interface AllowedResponse {
  /** Each replaces every copy that the client sent. */
  readonly set: readonly HeaderMutation[];
  readonly remove: readonly string[];
  /** For the access log. */
  readonly metadata: Readonly<Record<string, string | undefined>>;
}

export interface DeniedResponse {
  readonly httpStatus: number;
  readonly grpcStatus: number;
  readonly set: readonly HeaderMutation[];
  readonly metadata: Readonly<Record<string, string | undefined>>;
}

/** Field numbers of the messages, named as in the protos. */
const CheckRequestField = { attributes: 1 } as const;
const AttributeContextField = { source: 1, request: 4 } as const;
const PeerField = { address: 1, principal: 4, certificate: 5 } as const;
const AddressField = { socket_address: 1 } as const;
const SocketAddressField = { address: 2 } as const;
const RequestField = { http: 2 } as const;
const HttpRequestField = { headers: 3, path: 4, host: 5, raw_body: 12 } as const;
const MapEntryField = { key: 1, value: 2 } as const;
const CheckResponseField = {
  status: 1,
  denied_response: 2,
  ok_response: 3,
  dynamic_metadata: 4,
} as const;
const StatusField = { code: 1 } as const;
const HttpResponseField = { status: 1, headers: 2, headers_to_remove: 5 } as const;
const HeaderValueOptionField = { header: 1, append_action: 3 } as const;
const HeaderValueField = { key: 1, value: 2 } as const;
const StructField = { fields: 1 } as const;
const ValueField = { string_value: 3 } as const;

const OVERWRITE_IF_EXISTS_OR_ADD = 2;
const NOTHING: Buffer = Buffer.alloc(0);

/** Throws MalformedMessage. */
export function decodeCheckRequest(bytes: Buffer): CheckRequest {
  const headers = new Map<string, string>();
  const request = {
    path: '',
    host: '',
    headers,
    body: NOTHING,
    sourceAddress: '',
    peerPrincipal: '',
    peerCertificate: '',
  };
  eachField(bytes, 0, bytes.length, (attributes) => {
    if (attributes.field !== CheckRequestField.attributes) return;
    eachField(bytes, attributes.start, attributes.end, (context) => {
      if (context.field === AttributeContextField.source) {
        eachField(bytes, context.start, context.end, (peer) => {
          if (peer.field === PeerField.principal) request.peerPrincipal = text(bytes, peer);
          else if (peer.field === PeerField.certificate)
            request.peerCertificate = text(bytes, peer);
          else if (peer.field === PeerField.address) {
            request.sourceAddress = decodeAddress(bytes, peer) ?? request.sourceAddress;
          }
        });
      } else if (context.field === AttributeContextField.request) {
        eachField(bytes, context.start, context.end, (http) => {
          if (http.field !== RequestField.http) return;
          eachField(bytes, http.start, http.end, (member) => {
            if (member.field === HttpRequestField.headers) decodeHeader(bytes, member, headers);
            else if (member.field === HttpRequestField.path) request.path = text(bytes, member);
            else if (member.field === HttpRequestField.host) request.host = text(bytes, member);
            else if (member.field === HttpRequestField.raw_body) {
              request.body = bytes.subarray(member.start, member.end);
            }
          });
        });
      }
    });
  });
  return request;
}

/** Visits the length-delimited fields of a message; those of other wire types are not used here. */
function eachField(
  bytes: Buffer,
  start: number,
  end: number,
  visit: (reader: WireReader) => void,
): void {
  const reader = new WireReader(bytes, start, end);
  while (reader.next() === 'field') {
    if (reader.wireType === WireType.BYTES) visit(reader);
  }
}

function decodeAddress(bytes: Buffer, outer: WireReader): string | undefined {
  let found: string | undefined;
  eachField(bytes, outer.start, outer.end, (address) => {
    if (address.field !== AddressField.socket_address) return;
    eachField(bytes, address.start, address.end, (socket) => {
      if (socket.field === SocketAddressField.address) found = text(bytes, socket);
    });
  });
  return found;
}

function decodeHeader(bytes: Buffer, outer: WireReader, headers: Map<string, string>): void {
  let name = '';
  let value = '';
  eachField(bytes, outer.start, outer.end, (entry) => {
    if (entry.field === MapEntryField.key) name = text(bytes, entry);
    else if (entry.field === MapEntryField.value) value = text(bytes, entry);
  });
  headers.set(name, value);
}

function text(bytes: Buffer, reader: WireReader): string {
  return bytes.toString('utf8', reader.start, reader.end);
}

const writer = new WireWriter();

export function encodeAllowed(response: AllowedResponse): Buffer {
  writeMetadata(response.metadata);
  const before = writer.length;
  for (let i = response.remove.length - 1; i >= 0; i--) {
    writer.string(HttpResponseField.headers_to_remove, response.remove[i] ?? '');
  }
  writeHeaders(response.set);
  writer.message(CheckResponseField.ok_response, before);
  writer.message(CheckResponseField.status, writer.length);
  return writer.finish();
}

export function encodeDenied(response: DeniedResponse): Buffer {
  writeMetadata(response.metadata);
  const before = writer.length;
  writeHeaders(response.set);
  const beforeStatus = writer.length;
  writer.number(StatusField.code, response.httpStatus);
  writer.message(HttpResponseField.status, beforeStatus);
  writer.message(CheckResponseField.denied_response, before);
  const beforeCode = writer.length;
  writer.number(StatusField.code, response.grpcStatus);
  writer.message(CheckResponseField.status, beforeCode);
  return writer.finish();
}

function writeHeaders(headers: readonly HeaderMutation[]): void {
  for (let i = headers.length - 1; i >= 0; i--) {
    const header = headers[i];
    if (!header) continue;
    const before = writer.length;
    writer.number(HeaderValueOptionField.append_action, OVERWRITE_IF_EXISTS_OR_ADD);
    const beforeHeader = writer.length;
    writer.string(HeaderValueField.value, header.value);
    writer.string(HeaderValueField.key, header.name);
    writer.message(HeaderValueOptionField.header, beforeHeader);
    writer.message(HttpResponseField.headers, before);
  }
}

function writeMetadata(metadata: Readonly<Record<string, string | undefined>>): void {
  const before = writer.length;
  for (const name in metadata) {
    const value = metadata[name];
    if (value === undefined) continue;
    const beforeEntry = writer.length;
    writer.string(ValueField.string_value, value);
    writer.message(MapEntryField.value, beforeEntry);
    writer.string(MapEntryField.key, name);
    writer.message(StructField.fields, beforeEntry);
  }
  writer.message(CheckResponseField.dynamic_metadata, before);
}
