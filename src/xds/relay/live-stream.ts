/** One stream of Envoy, passed on to a control plane message by message. */
import {
  type Client,
  Metadata,
  type ServerDuplexStream,
  status,
  type StatusObject,
} from '@grpc/grpc-js';
import type { Logger } from 'pino';
import { asOnTheWire } from '../../grpc/service.js';
import type { Clock } from '../../model/clock.js';
import type { Recorder } from './recorder.js';

export type Call = ServerDuplexStream<Buffer, Buffer>;

export interface LiveStreamOptions {
  readonly call: Call;
  readonly client: Client;
  readonly path: string;
  readonly recorder: Recorder;
  readonly clock: Clock;
  readonly logger: Logger;
  /** Envoy has sent something, perhaps an acknowledgement. */
  readonly onRequest: () => void;
  /** Called once; `refused`: the control plane ended it at once, without an answer. */
  readonly onEnd: (refused: boolean) => void;
}

/** An Envoy that is up to date gets no answer for long: only an early end is a refusal. */
const REFUSED_WITHIN_MS = 2_000;

export function passOn(options: LiveStreamOptions): void {
  const { call, client, path, recorder, clock, logger, onRequest, onEnd } = options;
  const onward = client.makeBidiStreamRequest(path, asOnTheWire, asOnTheWire, new Metadata());
  const startedAtMs = clock.now();
  let answered = false;
  let recording = true;
  const record = (take: () => Buffer | void, bytes: Buffer): Buffer => {
    if (!recording) return bytes;
    try {
      return take() ?? bytes;
    } catch (error) {
      recording = false;
      logger.error({ err: error }, 'an xDS message cannot be read; the stream is not recorded');
      return bytes;
    }
  };
  call.on('data', (bytes: Buffer) => {
    const passed = record(() => recorder.request(bytes), bytes);
    if (!onward.write(passed)) call.pause();
    if (recording) onRequest();
  });
  onward.on('data', (bytes: Buffer) => {
    answered = true;
    record(() => recorder.response(bytes), bytes);
    if (!call.write(bytes)) onward.pause();
  });
  call.on('drain', () => onward.resume());
  onward.on('drain', () => call.resume());
  call.on('end', () => onward.end());
  call.on('cancelled', () => onward.cancel());
  call.on('error', () => onward.cancel());
  // Every end has a status, with or without an error.
  onward.on('error', () => undefined);
  onward.on('status', ({ code, details }: StatusObject) => {
    const early = clock.now() - startedAtMs < REFUSED_WITHIN_MS;
    onEnd(early && !answered && !call.cancelled);
    if (call.cancelled) return;
    if (code === status.OK) call.end();
    else call.emit('error', { code: status.UNAVAILABLE, details, metadata: new Metadata() });
  });
}
