/**
 * envoy.service.auth.v3.CheckRequest and CheckResponse, the fields that are used here. Generated code
 * decodes everything and costs several times as much (bench/authz); a test compares the two.
 */
import type { TextCache } from '../lib/protobuf/text-cache.js';
import { WireReader, WireWriter } from '../lib/protobuf/wire.js';
import { AccessMetadata } from '../model/names.js';

export interface CheckRequest {
  /** As in `:path`. */
  readonly path: string;
  /** As in `:authority`. */
  readonly host: string;
  /** Names in lower case; a header that came more than once has its values joined with commas. */
  readonly headers: Headers;
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
  /** Headers that the response to the client gets on its way through Envoy. */
  readonly toClient?: readonly HeaderMutation[];
  /** For the access log. */
  readonly metadata: Readonly<Record<string, string | undefined>>;
  /** Envoy puts some of the metadata into its span. */
  readonly traced?: true;
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
const HttpResponseField = {
  status: 1,
  headers: 2,
  headers_to_remove: 5,
  response_headers_to_add: 6,
} as const;
const HeaderValueOptionField = { header: 1, append_action: 3 } as const;
const HeaderValueField = { key: 1, value: 2 } as const;
const StructField = { fields: 1 } as const;
const ValueField = { string_value: 3 } as const;

const OVERWRITE_IF_EXISTS_OR_ADD = 2;
const NOTHING: Buffer = Buffer.alloc(0);
/** The same for all checks, each of which is read at once: readers for their headers would be most of their garbage. */
const messages = new WireReader(NOTHING, 0, 0);

interface Decoded {
  path: string;
  host: string;
  readonly headers: CheckHeaders;
  body: Buffer;
  sourceAddress: string;
  peerPrincipal: string;
  peerCertificate: string;
}

/** The result reads on in `bytes`, and its texts are those of `texts`. Throws MalformedMessage. */
export function decodeCheckRequest(bytes: Buffer, texts: TextCache): CheckRequest {
  const request: Decoded = {
    path: '',
    host: '',
    headers: new CheckHeaders(bytes, texts),
    body: NOTHING,
    sourceAddress: '',
    peerPrincipal: '',
    peerCertificate: '',
  };
  const check = messages.reset(bytes, 0, bytes.length);
  while (check.nextBytes()) {
    if (check.field === CheckRequestField.attributes) {
      readAttributes(bytes, check.inner(), request, texts);
    }
  }
  return request;
}

function readAttributes(
  bytes: Buffer,
  context: WireReader,
  request: Decoded,
  texts: TextCache,
): void {
  while (context.nextBytes()) {
    if (context.field === AttributeContextField.source) {
      readSource(bytes, context.inner(), request, texts);
    } else if (context.field === AttributeContextField.request) {
      readRequest(bytes, context.inner(), request, texts);
    }
  }
}

function readSource(bytes: Buffer, peer: WireReader, request: Decoded, texts: TextCache): void {
  while (peer.nextBytes()) {
    if (peer.field === PeerField.principal) request.peerPrincipal = text(bytes, peer, texts);
    else if (peer.field === PeerField.certificate)
      request.peerCertificate = text(bytes, peer, texts);
    else if (peer.field === PeerField.address) {
      request.sourceAddress = readAddress(bytes, peer.inner(), texts) ?? request.sourceAddress;
    }
  }
}

function readAddress(bytes: Buffer, address: WireReader, texts: TextCache): string | undefined {
  let found: string | undefined;
  while (address.nextBytes()) {
    if (address.field !== AddressField.socket_address) continue;
    const socket = address.inner();
    while (socket.nextBytes()) {
      if (socket.field === SocketAddressField.address) found = text(bytes, socket, texts);
    }
  }
  return found;
}

function readRequest(bytes: Buffer, outer: WireReader, request: Decoded, texts: TextCache): void {
  while (outer.nextBytes()) {
    if (outer.field !== RequestField.http) continue;
    const http = outer.inner();
    while (http.nextBytes()) {
      if (http.field === HttpRequestField.headers)
        readHeader(bytes, http.inner(), request.headers, texts);
      else if (http.field === HttpRequestField.path) request.path = text(bytes, http, texts);
      else if (http.field === HttpRequestField.host) request.host = text(bytes, http, texts);
      else if (http.field === HttpRequestField.raw_body) {
        request.body = bytes.subarray(http.start, http.end);
      }
    }
  }
}

function readHeader(
  bytes: Buffer,
  entry: WireReader,
  headers: CheckHeaders,
  texts: TextCache,
): void {
  let name = '';
  let valueStart = 0;
  let valueEnd = 0;
  while (entry.nextBytes()) {
    if (entry.field === MapEntryField.key) name = text(bytes, entry, texts);
    else if (entry.field === MapEntryField.value) {
      valueStart = entry.start;
      valueEnd = entry.end;
    }
  }
  headers.add(name, valueStart, valueEnd);
}

function text(bytes: Buffer, { start, end }: WireReader, texts: TextCache): string {
  return texts.text(bytes, start, end);
}

const writer = new WireWriter();

export function encodeAllowed(response: AllowedResponse): Buffer {
  const { metadata } = response;
  writeMetadata(response.traced ? metadata : { [AccessMetadata.packed]: packed(metadata) });
  const before = writer.length;
  if (response.toClient) {
    writeHeaders(response.toClient, HttpResponseField.response_headers_to_add);
  }
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

function writeHeaders(
  headers: readonly HeaderMutation[],
  field: number = HttpResponseField.headers,
): void {
  for (let i = headers.length - 1; i >= 0; i--) {
    const header = headers[i];
    if (!header) continue;
    const before = writer.length;
    writer.number(HeaderValueOptionField.append_action, OVERWRITE_IF_EXISTS_OR_ADD);
    const beforeHeader = writer.length;
    writer.string(HeaderValueField.value, header.value);
    writer.string(HeaderValueField.key, header.name);
    writer.message(HeaderValueOptionField.header, beforeHeader);
    writer.message(field, before);
  }
}

/**
 * Metadata as one value (`AccessMetadata`). The session comes last: those who look for what they have read before
 * go by the end.
 */
export function packed({ session, ...others }: AllowedResponse['metadata']): string {
  return Buffer.from(JSON.stringify({ ...others, session })).toString('base64');
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

// The headers of a check. Few of them are looked at, so that a value is read when it is asked for.

/** As a map has them. */
export interface Headers {
  get(name: string): string | undefined;
  keys(): Iterable<string>;
}

class CheckHeaders implements Headers {
  readonly #bytes: Buffer;
  readonly #texts: TextCache;
  readonly #names: string[] = [];
  /** Where each value begins and ends. */
  readonly #places: number[] = [];
  /** Those that were asked for. */
  readonly #values: (string | undefined)[] = [];

  constructor(bytes: Buffer, cache: TextCache) {
    this.#bytes = bytes;
    this.#texts = cache;
  }

  add(name: string, start: number, end: number): void {
    this.#names.push(name);
    this.#places.push(start, end);
    this.#values.push(undefined);
  }

  /** Of several copies the last one counts, as in every map of a protobuf message. */
  get(name: string): string | undefined {
    for (let i = this.#names.length - 1; i >= 0; i--) {
      if (this.#names[i] === name) return (this.#values[i] ??= this.#read(i));
    }
    return undefined;
  }

  #read(index: number): string {
    const start = this.#places[index * 2] ?? 0;
    return this.#texts.text(this.#bytes, start, this.#places[index * 2 + 1] ?? start);
  }

  keys(): readonly string[] {
    return this.#names;
  }
}
