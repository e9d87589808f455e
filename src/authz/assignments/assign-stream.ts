/** What this sidecar asks one control plane on one stream (`AssignmentService.AssignMany`). */
import { create } from '@bufbuild/protobuf';
import { type Client, type ClientDuplexStream, status, type StatusObject } from '@grpc/grpc-js';
import {
  AssignManyRequestSchema,
  type AssignManyRequest,
  type AssignManyResponse,
  type Assignment as AssignmentMessage,
  AssignmentService,
  type AssignRequest as AssignMessage,
} from '#gen/spark_gateway/v1/assignments_pb.js';
import { methodDefinition } from '../../lib/grpc/channels.js';
import { fromServiceError, fromStatusDetails, unreachable } from '../../lib/grpc/status-details.js';
import type { Clock, Timer } from '../../model/clock.js';
import { abortReason } from './assignment-cache.js';
import { callControlPlane } from './call-control-plane.js';

export interface AskOptions {
  /** How long an answer is waited for, milliseconds. */
  readonly timeoutMs: number;
  readonly signal: AbortSignal;
  readonly traceparent: string | undefined;
}

interface Asked {
  readonly message: AssignMessage;
  readonly options: AskOptions;
  readonly answer: (assignment: AssignmentMessage | undefined) => void;
  readonly refuse: (error: Error) => void;
}

const method = methodDefinition(AssignmentService.method.assignMany);
/** A control plane that does not know the stream may be followed by a later release at the same address. */
const UNKNOWN_MS = 60_000;

export class AssignStream {
  readonly #client: Client;
  readonly #clock: Clock;
  #call: ClientDuplexStream<AssignManyRequest, AssignManyResponse> | undefined;
  readonly #asked = new Map<number, Asked>();
  #lastId = 0;
  /** Until when it is not asked for a stream, by the monotonic clock. */
  #unknownUntilMs = -Infinity;

  constructor(client: Client, clock: Clock) {
    this.#client = client;
    this.#clock = clock;
  }

  /**
   * Rejects with the GatewayError that the control plane sent, with CONTROL_PLANE_UNAVAILABLE if it cannot be
   * reached or does not answer in time, or with the signal's reason.
   */
  ask(message: AssignMessage, options: AskOptions): Promise<AssignmentMessage | undefined> {
    const { signal } = options;
    if (signal.aborted) return Promise.reject(abortReason(signal));
    if (this.#clock.monotonic() < this.#unknownUntilMs) return this.#askAlone(message, options);
    const id = (this.#lastId += 1);
    this.#call ??= this.#open();
    const call = this.#call;
    return new Promise((resolve, reject) => {
      const done = (): void => {
        this.#asked.delete(id);
        timer.cancel();
        signal.removeEventListener('abort', abort);
      };
      const giveUp = (reason: Error): void => {
        done();
        if (this.#call === call) call.write(create(AssignManyRequestSchema, { id }));
        reject(reason);
      };
      const abort = (): void => giveUp(abortReason(signal));
      const timer: Timer = this.#clock.setTimer(options.timeoutMs, () => giveUp(unreachable()));
      signal.addEventListener('abort', abort, { once: true });
      this.#asked.set(id, {
        message,
        options,
        answer: (assignment) => {
          done();
          resolve(assignment);
        },
        refuse: (error) => {
          done();
          reject(error);
        },
      });
      const { traceparent = '' } = options;
      call.write(create(AssignManyRequestSchema, { id, asked: message, traceparent }));
    });
  }

  close(): void {
    const call = this.#call;
    // Not at once: Node 20's HTTP/2 never returns from resetting a stream within the end of another one.
    setImmediate(() => call?.cancel());
  }

  #open(): ClientDuplexStream<AssignManyRequest, AssignManyResponse> {
    const call = this.#client.makeBidiStreamRequest(
      method.path,
      method.requestSerialize,
      method.responseDeserialize,
    );
    call.on('data', ({ id, answer }: AssignManyResponse) => {
      const asked = this.#asked.get(id);
      if (answer.case === 'refusal') asked?.refuse(fromStatusDetails(answer.value));
      else asked?.answer(answer.value);
    });
    // Every end of the stream, with or without an error, has a status.
    call.on('error', () => undefined);
    call.on('status', (ended: StatusObject) => this.#ended(ended));
    return call;
  }

  /** What was not answered is asked again by whoever waits for it, or asked alone. */
  #ended(ended: StatusObject): void {
    this.#call = undefined;
    const left = [...this.#asked.values()];
    const isUnknown = ended.code === status.UNIMPLEMENTED;
    if (isUnknown) this.#unknownUntilMs = this.#clock.monotonic() + UNKNOWN_MS;
    for (const { message, options, answer, refuse } of left) {
      if (isUnknown) this.#askAlone(message, options).then(answer, refuse);
      else refuse(fromServiceError(Object.assign(new Error(ended.details), ended)));
    }
  }

  async #askAlone(
    message: AssignMessage,
    { timeoutMs, signal, traceparent }: AskOptions,
  ): Promise<AssignmentMessage | undefined> {
    const deadline = Date.now() + timeoutMs;
    const { assign } = AssignmentService.method;
    const options = { deadline, signal, traceparent };
    const { assignment } = await callControlPlane(this.#client, assign, message, options);
    return assignment;
  }
}
