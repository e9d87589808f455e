/** One Follow stream: reports in, notices out. */
import { create } from '@bufbuild/protobuf';
import type { ServerDuplexStream } from '@grpc/grpc-js';
import type { Logger } from 'pino';
import {
  FollowResponseSchema,
  type FollowRequest,
  type FollowResponse,
} from '#gen/spark_gateway/v1/assignments_pb.js';
import { toServiceError } from '../lib/grpc/status-details.js';
import type { ActivitySink } from '../model/assignment.js';
import type { Clock, Timer } from '../model/clock.js';
import { GatewayError } from '../model/errors.js';
import type { Leadership } from '../model/ledger.js';
import type { NoticeStream, SidecarConnection, SidecarNotices } from './notices.js';
import { notLeading } from '../model/refusals.js';

/** A sidecar reports every 10 s; one that is silent for so long is taken for cut off. */
const SILENCE_MS = 60_000;

export interface FollowOptions {
  readonly notices: SidecarNotices;
  readonly activity: ActivitySink;
  readonly leadership: Leadership;
  readonly clock: Clock;
  readonly logger: Logger;
}

export function follow(
  call: ServerDuplexStream<FollowRequest, FollowResponse>,
  { notices, activity, leadership, clock, logger }: FollowOptions,
): void {
  let connection: SidecarConnection | undefined;
  let sidecarId = '';
  let silence: Timer | undefined;
  let over = false;

  /** Ends the stream, from whichever side it ends first. */
  const finish = (error?: GatewayError) => {
    if (over) return;
    over = true;
    silence?.cancel();
    if (connection) {
      connection.closed();
      activity.reporterDisconnected(sidecarId);
      logger.info({ sidecar: sidecarId, reason: error?.message }, 'sidecar disconnected');
    }
    if (error) call.emit('error', toServiceError(error));
    else call.end();
  };

  const connect = (request: FollowRequest): SidecarConnection => {
    sidecarId = request.sidecarId;
    const stream: NoticeStream = {
      send: (notice) =>
        call.write(
          create(FollowResponseSchema, {
            ...notice,
            endedSessions: [...notice.endedSessions],
            endedDrivers: [...notice.endedDrivers],
            interrupts: notice.interrupts.map((interrupt) => ({
              ...interrupt,
              principal: { ...interrupt.principal },
            })),
          }),
        ),
      replaced: () => finish(new GatewayError('SHUTTING_DOWN', 'A newer stream took its place.')),
    };
    const opened = notices.connect(sidecarId, request.applied, stream, request.name);
    if (opened.unknownPast) activity.reporterDisconnected(sidecarId);
    activity.reporterConnected(sidecarId);
    logger.info({ sidecar: sidecarId }, 'sidecar connected');
    return opened;
  };

  const listen = () => {
    silence?.cancel();
    silence = clock.setTimer(SILENCE_MS, () =>
      finish(new GatewayError('SHUTTING_DOWN', 'The sidecar sent no report for a minute.')),
    );
  };

  listen();
  call.on('data', (request: FollowRequest) => {
    if (over) return;
    if (leadership.epoch() === undefined) return finish(notLeading());
    if (!connection && request.sidecarId === '') {
      return finish(new GatewayError('INTERNAL', 'The first message names no sidecar.'));
    }
    listen();
    connection ??= connect(request);
    const nowMs = clock.now();
    activity.activity(
      request.activity.map(({ sessionId, ageMs, released }) => ({
        sessionId,
        atMs: nowMs - ageMs,
        released,
      })),
      sidecarId,
    );
    connection.report(request.applied, request.report);
  });
  call.on('drain', () => connection?.writable());
  call.on('end', () => finish());
  call.on('cancelled', () => finish());
  call.on('error', () => finish());
}
