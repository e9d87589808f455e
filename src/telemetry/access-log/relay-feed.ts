/**
 * What one access log stream tells of activity, to whoever leads: the messages, without entries that say nothing new
 * of a session.
 */
import type { ClientWritableStream } from '@grpc/grpc-js';
import { bytesField, varint } from '../../lib/protobuf/wire.js';
import { LogsField, MessageField } from './entry-reader.js';
import type { ActivityFeed, ReceivedMessage } from './feed.js';
import { whichAreNews } from './news.js';

const NO_INTRODUCTION = new Uint8Array();
/** Messages that the other process has not taken yet, at most. */
const MOST_WAITING = 1_000;

export interface RelayOptions {
  /** Begins a call to the other process; undefined: there is none. */
  readonly open: () => ClientWritableStream<Buffer> | undefined;
  /** How often Envoys report a running RPC, milliseconds. */
  readonly intervalMs: number;
}

/**
 * Passes messages on. A connection that fails or is too slow is given up and made again with a later
 * message: the other process then knows that it may have missed something.
 * @param introduction as in `AccessLogMessage`, of the stream's first message
 */
export function relayFeed(
  introduction: Uint8Array | undefined,
  { open, intervalMs }: RelayOptions,
): ActivityFeed {
  let call: ClientWritableStream<Buffer> | undefined;
  const leave = (): void => {
    call?.cancel();
    call = undefined;
  };
  return {
    tell(message) {
      if (call && call.writableLength > MOST_WAITING) leave();
      if (call) {
        call.write(shortened(message, intervalMs));
        return;
      }
      const opened = open();
      if (!opened) return;
      call = opened;
      // Every end has one.
      opened.on('status', () => {
        if (call === opened) call = undefined;
      });
      // Messages in a row merge (https://protobuf.dev/programming-guides/encoding/#last-one-wins).
      opened.write(Buffer.concat([introduction ?? NO_INTRODUCTION, message.bytes]));
    },
    close: leave,
  };
}

/** Without what is no news. Of what is left out the times stay, for the console's figures. */
function shortened({ records, places, bytes }: ReceivedMessage, intervalMs: number): Buffer {
  const areNews = whichAreNews(records, intervalMs);
  const kept: Buffer[] = [];
  const leftOut: number[] = [];
  for (const [index, record] of records.entries()) {
    if (!areNews[index]) {
      leftOut.push(...varint(record.durationMs ?? 0));
      continue;
    }
    const entry = bytes.subarray(places[index * 2], places[index * 2 + 1]);
    kept.push(bytesField(LogsField.log_entry, entry));
  }
  if (leftOut.length === 0) return bytes;
  return Buffer.concat([
    bytesField(MessageField.http_logs, ...kept),
    bytesField(MessageField.left_out, Buffer.from(leftOut)),
  ]);
}
