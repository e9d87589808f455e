/**
 * What gRPC calls on an HTTP/2 server of our own (src/lib/http2) have in common, whatever their form.
 * https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md
 */
import { GrpcStatus } from '../../model/errors.js';
import { headerBlock } from '../http2/header-block.js';
import type { ServerConnection } from '../http2/server-connection.js';
import type { ServerStream } from '../http2/server-stream.js';

/** A gRPC message starts with a flag byte and four bytes of length (Length-Prefixed-Message). */
export const MESSAGE_HEADER_BYTES = 5;
export const CONTENT_TYPE = 'application/grpc';
export const RESPONSE_HEADERS = headerBlock(200, { 'content-type': CONTENT_TYPE });
export const STATUS_OK = headerBlock(undefined, { 'grpc-status': String(GrpcStatus.OK) });
const NOT_POST = headerBlock(405, { allow: 'POST' });
const NOT_GRPC = headerBlock(415, {});

/** Ends a request that is no gRPC call. False: it is one. */
export function refuseOthers(connection: ServerConnection, stream: ServerStream): boolean {
  const { method, contentType } = stream.head;
  if (method === 'POST' && contentType.startsWith(CONTENT_TYPE)) return false;
  connection.respond(stream, method === 'POST' ? NOT_GRPC : NOT_POST, true);
  return true;
}

/** What stands before a message of this length, with `room` for more behind it, bytes. */
export function messageHead(length: number, room = 0): Buffer {
  const head = Buffer.allocUnsafe(MESSAGE_HEADER_BYTES + room);
  head[0] = 0;
  head.writeUInt32BE(length, 1);
  return head;
}

export function frame(message: Uint8Array): Buffer {
  const framed = messageHead(message.length, message.length);
  framed.set(message, MESSAGE_HEADER_BYTES);
  return framed;
}
