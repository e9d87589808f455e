/** What one access log stream tells of activity, to this process while it leads, or to whoever does. */
import { create, toBinary } from '@bufbuild/protobuf';
import type { ClientWritableStream } from '@grpc/grpc-js';
import {
  type StreamAccessLogsMessage_Identifier,
  StreamAccessLogsMessageSchema,
} from '#gen/envoy/service/accesslog/v3/als_pb.js';
import type { ActivitySink } from '../model/assignment.js';
import type { Clock } from '../model/clock.js';
import type { QueryReports } from '../model/query.js';
import { StreamActivity } from './activity.js';
import { tellOfQuery } from './queries.js';
import type { AccessRecord } from './record.js';
import type { Reporters } from './reporters.js';

export interface ReceivedMessage {
  readonly records: readonly AccessRecord[];
  /** As it came. */
  readonly bytes: Uint8Array;
}

export interface ActivityFeed {
  tell(message: ReceivedMessage): void;
  close(): void;
}

export function localFeed(
  reporter: string,
  options: {
    readonly sink: ActivitySink;
    readonly queries: QueryReports;
    readonly reporters: Reporters;
    readonly clock: Clock;
    readonly intervalMs: number;
  },
): ActivityFeed {
  const { sink, queries, reporters, clock, intervalMs } = options;
  const activity = new StreamActivity(reporter, sink, clock, intervalMs);
  let isKnown = false;
  const feed: ActivityFeed = {
    tell({ records }) {
      if (!isKnown) {
        isKnown = true;
        reporters.add(reporter, Math.min(...records.map(({ startedAtMs }) => startedAtMs)));
      }
      for (const record of records) {
        activity.record(record);
        tellOfQuery(record, feed, queries);
      }
    },
    close() {
      activity.close();
      queries.lost(feed);
      if (isKnown) reporters.delete(reporter);
    },
  };
  return feed;
}

/** Messages that the other process has not taken yet, at most. */
const MOST_WAITING = 1_000;

/**
 * Passes messages on. A connection that fails or is too slow is given up and made again with a later
 * message: the other process then knows that it may have missed something.
 */
export function relayFeed(
  identifier: StreamAccessLogsMessage_Identifier | undefined,
  open: () => ClientWritableStream<Buffer> | undefined,
): ActivityFeed {
  // Messages in a row merge (https://protobuf.dev/programming-guides/encoding/#last-one-wins).
  const introduction = toBinary(
    StreamAccessLogsMessageSchema,
    create(StreamAccessLogsMessageSchema, identifier ? { identifier } : {}),
  );
  let call: ClientWritableStream<Buffer> | undefined;
  const leave = (): void => {
    call?.cancel();
    call = undefined;
  };
  return {
    tell({ bytes }) {
      if (call && call.writableLength > MOST_WAITING) leave();
      if (call) {
        call.write(Buffer.from(bytes));
        return;
      }
      const opened = open();
      if (!opened) return;
      call = opened;
      // Every end has one.
      opened.on('status', () => {
        if (call === opened) call = undefined;
      });
      opened.write(Buffer.concat([introduction, bytes]));
    },
    close: leave,
  };
}
