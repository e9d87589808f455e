/** From a function of a request to a handler of grpc-js, and the other way round for its failures. */
import {
  Metadata,
  type sendUnaryData,
  type ServerUnaryCall,
  type ServerWritableStream,
} from '@grpc/grpc-js';
import type { Logger } from 'pino';
import type { BatchCaller } from '#gen/spark_gateway/v1/batch_pb.js';
import { toServiceError } from '../lib/grpc/status-details.js';
import type { Clock } from '../model/clock.js';
import { toGatewayError } from '../model/errors.js';
import { TRACE_HEADER } from '../model/names.js';
import { callerOf, type CallerRules } from './caller.js';
import type { Asking } from './control-plane-client.js';

export interface Call extends Asking {
  readonly caller: BatchCaller;
  /** Tells the caller something ahead of the answer. */
  sendHeader(name: string, value: string): void;
}

export interface CallEnd {
  readonly method: string;
  /** OK, CANCELLED, or the code of the refusal or failure. */
  readonly code: string;
  readonly durationMs: number;
}

export interface HandlerOptions {
  readonly rules: CallerRules;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly onEnd: (end: CallEnd) => void;
}

/** For a caller without a deadline, or with one that is further away. */
const LONGEST_CALL_MS = 30_000;

type AnyCall = ServerUnaryCall<unknown, unknown> | ServerWritableStream<unknown, unknown>;

export function unary<Request, Response>(
  method: string,
  options: HandlerOptions,
  work: (request: Request, call: Call) => Promise<Response>,
) {
  return (call: ServerUnaryCall<Request, Response>, callback: sendUnaryData<Response>): void => {
    const { signal, finish } = begin(method, call, options);
    (async () => work(call.request, contextOf(call, signal, options)))().then(
      (response) => {
        finish('OK');
        callback(null, response);
      },
      (error: unknown) => {
        finish(signal.aborted ? 'CANCELLED' : codeOf(error, method, options));
        callback(toServiceError(error));
      },
    );
  };
}

/** Reads `work` no faster than the caller takes it. */
export function streaming<Request, Response>(
  method: string,
  options: HandlerOptions,
  work: (request: Request, call: Call) => AsyncIterable<Response>,
) {
  return (call: ServerWritableStream<Request, Response>): void => {
    const { signal, finish } = begin(method, call, options);
    (async () => {
      for await (const message of work(call.request, contextOf(call, signal, options))) {
        if (!call.write(message)) await drained(call, signal);
        signal.throwIfAborted();
      }
    })().then(
      () => {
        finish('OK');
        call.end();
      },
      (error: unknown) => {
        finish(signal.aborted ? 'CANCELLED' : codeOf(error, method, options));
        call.emit('error', toServiceError(error));
      },
    );
  };
}

function begin(method: string, call: AnyCall, { clock, onEnd }: HandlerOptions) {
  const abort = new AbortController();
  const startedMs = clock.monotonic();
  for (const event of ['cancelled', 'close']) call.on(event, () => abort.abort());
  return {
    signal: abort.signal,
    finish: (code: string) => onEnd({ method, code, durationMs: clock.monotonic() - startedMs }),
  };
}

function contextOf(call: AnyCall, signal: AbortSignal, { rules, clock }: HandlerOptions): Call {
  const [traceparent] = call.metadata.get(TRACE_HEADER);
  const deadline = call.getDeadline();
  const leftAtFirstMs = Math.min(LONGEST_CALL_MS, Number(deadline) - Date.now());
  const endMs = clock.monotonic() + leftAtFirstMs;
  return {
    caller: callerOf(call, rules),
    signal,
    leftMs: () => endMs - clock.monotonic(),
    traceparent: traceparent === undefined ? undefined : String(traceparent),
    sendHeader(name, value) {
      const metadata = new Metadata();
      metadata.set(name, value);
      call.sendMetadata(metadata);
    },
  };
}

function codeOf(error: unknown, method: string, { logger }: HandlerOptions): string {
  const { code } = toGatewayError(error);
  if (code === 'INTERNAL') logger.error({ err: error, method }, 'a call failed');
  return code;
}

function drained(call: ServerWritableStream<unknown, unknown>, signal: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    const aborted = () => reject(new Error('The caller has gone.'));
    call.once('drain', () => {
      signal.removeEventListener('abort', aborted);
      resolve();
    });
    signal.addEventListener('abort', aborted, { once: true });
  });
}
