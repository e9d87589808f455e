/** An HTTP/2 client of bytes: frames to a ServerConnection, and what it sends back. */
import { ErrorCode, Flag, FrameType, FrameWriter } from '../../src/lib/http2/frame.js';
import { headerBlock } from '../../src/lib/http2/header-block.js';
import { ServerConnection } from '../../src/lib/http2/server-connection.js';
import type { ServerStream } from '../../src/lib/http2/server-stream.js';

export const PREFACE = Buffer.from('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n');
/** POST / over http, by the static table. */
export const HEAD = Buffer.from([0x83, 0x86, 0x84]);

export interface Frame {
  readonly type: number;
  readonly flags: number;
  readonly streamId: number;
  readonly payload: Buffer;
}

export function frames(bytes: Buffer): Frame[] {
  const read: Frame[] = [];
  for (let at = 0; at < bytes.length;) {
    const length = bytes.readUIntBE(at, 3);
    read.push({
      type: bytes[at + 3] ?? 0,
      flags: bytes[at + 4] ?? 0,
      streamId: bytes.readUInt32BE(at + 5),
      payload: bytes.subarray(at + 9, at + 9 + length),
    });
    at += 9 + length;
  }
  return read;
}

/** A server whose every answer is `answer(body)`, and what it has sent. */
export class Peer {
  readonly requests: string[] = [];
  readonly closed: number[] = [];
  readonly held: ServerStream[] = [];
  nowMs = 0;
  readonly connection: ServerConnection;
  #output = Buffer.alloc(0);

  constructor(
    answer: (stream: ServerStream) => Buffer | undefined = (stream) => stream.body(),
    maxBodyBytes = 1000,
    onOpen: (stream: ServerStream) => void = () => undefined,
  ) {
    this.connection = new ServerConnection({
      maxBodyBytes,
      onOpen,
      onRequest: (stream) => {
        this.requests.push(`${stream.id}: ${stream.body().toString('latin1')}`);
        stream.onClose = () => this.closed.push(stream.id);
        const data = answer(stream);
        if (data) this.answer(stream, data);
        else this.held.push(stream);
      },
      onTooLarge: (stream) =>
        this.connection.respond(stream, headerBlock(200, { 'grpc-status': '8' }), true),
      onOutput: () => undefined,
      now: () => this.nowMs,
    });
  }

  answer(stream: ServerStream, data: Buffer): void {
    this.connection.respond(stream, headerBlock(200, {}), false);
    this.connection.send(stream, data);
    this.connection.finish(stream, headerBlock(undefined, { 'grpc-status': '0' }));
  }

  send(...parts: Buffer[]): this {
    this.connection.receive(Buffer.concat(parts));
    return this;
  }

  /** All that was sent so far. */
  sent(): Frame[] {
    const output = this.connection.takeOutput();
    if (output) this.#output = Buffer.concat([this.#output, output]);
    return frames(this.#output);
  }

  goAway(): ErrorCode | undefined {
    const frame = this.sent().find(({ type }) => type === FrameType.GOAWAY);
    return frame && (frame.payload.readUInt32BE(4) as ErrorCode);
  }

  reset(streamId: number): number | undefined {
    return this.sent()
      .find((frame) => frame.type === FrameType.RST_STREAM && frame.streamId === streamId)
      ?.payload.readUInt32BE(0);
  }

  body(streamId: number): Buffer {
    return Buffer.concat(
      this.sent()
        .filter((frame) => frame.type === FrameType.DATA && frame.streamId === streamId)
        .map(({ payload }) => payload),
    );
  }

  /** Whether a response has come to its end. */
  ended(streamId: number): boolean {
    return this.sent().some(
      ({ streamId: of, type, flags }) =>
        of === streamId && type === FrameType.HEADERS && (flags & Flag.END_STREAM) !== 0,
    );
  }
}

function written(write: (writer: FrameWriter) => void): Buffer {
  const writer = new FrameWriter(false);
  write(writer);
  return writer.take();
}
export const frame = (
  type: number,
  flags: number,
  streamId: number,
  payload: Uint8Array = Buffer.alloc(0),
) => written((writer) => writer.frame(type, flags, streamId, payload));
export const settings = (...values: (readonly [number, number])[]) =>
  written((writer) => writer.settings(values));
export const windowUpdate = (streamId: number, increment: number) =>
  written((writer) => writer.number(FrameType.WINDOW_UPDATE, streamId, increment));
export const reset = (streamId: number) =>
  written((writer) => writer.number(FrameType.RST_STREAM, streamId, ErrorCode.CANCEL));
export const hello = Buffer.concat([PREFACE, settings()]);
export const request = (streamId: number, body: string) =>
  Buffer.concat([
    frame(FrameType.HEADERS, Flag.END_HEADERS, streamId, HEAD),
    frame(FrameType.DATA, Flag.END_STREAM, streamId, Buffer.from(body)),
  ]);
