/** Several servers of which any answers: the one that did so last is asked first, then the others. */
import type { DescMessage, DescMethod, MessageShape } from '@bufbuild/protobuf';
import {
  type ChannelCredentials,
  Client,
  connectivityState,
  type Metadata,
  type ServiceError,
} from '@grpc/grpc-js';
import { Backoff, type Clock } from '../../model/clock.js';
import { type GatewayError, GrpcStatus, retryAfterOf } from '../../model/errors.js';
import { channelOptions, methodDefinition } from './channels.js';
import { sentError } from './status-details.js';

export interface ServerSetOptions {
  /** gRPC targets such as `control-plane:18001`. */
  readonly addresses: readonly string[];
  readonly credentials: ChannelCredentials;
  /** Name in the servers' certificate; undefined: the host of the address. */
  readonly serverName: string | undefined;
  /** The largest message that is taken, bytes. */
  readonly maxAnswerBytes: number;
  /** What a caller is told when none answers. `why` is of the last one that was asked. */
  readonly unavailable: (why: string, cause: unknown) => GatewayError;
  /** Whether what a server says means that it, or another one, may do it in a moment. */
  readonly passes: (error: GatewayError) => boolean;
  readonly clock: Clock;
  /** In [0, 1), for pauses. Default Math.random. */
  readonly random?: () => number;
}

export interface CallOptions {
  /** How long an answer is waited for, with all attempts. */
  readonly timeoutMs: number;
  readonly signal: AbortSignal;
  readonly metadata: () => Metadata;
  /** Told what the server sends ahead of its answer. */
  readonly onMetadata?: (metadata: Metadata) => void;
}

type Method<I extends DescMessage, O extends DescMessage> = DescMethod & {
  readonly input: I;
  readonly output: O;
};

const FIRST_PAUSE_MS = 100;
const LONGEST_PAUSE_MS = 1_000;

export class ServerSet {
  readonly #options: ServerSetOptions;
  readonly #clients: readonly Client[];
  /** Index of the server that answered last. */
  #preferred = 0;

  constructor(options: ServerSetOptions) {
    const { addresses, credentials, serverName, maxAnswerBytes } = options;
    this.#options = options;
    const channel = {
      ...channelOptions('quick', serverName),
      'grpc.max_receive_message_length': maxAnswerBytes,
    };
    this.#clients = addresses.map((address) => new Client(address, credentials, channel));
  }

  /** Whether one is connected now; begins to connect where none is. */
  isConnected(): boolean {
    return this.#clients
      .map((client) => client.getChannel().getConnectivityState(true))
      .includes(connectivityState.READY);
  }

  /**
   * Asks until one answers or the time is over: whatever is asked must be safe to be asked again.
   * Rejects with what a server says, with what `unavailable` makes, or with the signal's reason.
   */
  async call<I extends DescMessage, O extends DescMessage>(
    method: Method<I, O>,
    message: MessageShape<I>,
    options: CallOptions,
  ): Promise<MessageShape<O>> {
    const { clock, random } = this.#options;
    const { signal } = options;
    const endMs = clock.monotonic() + options.timeoutMs;
    const backoff = new Backoff(FIRST_PAUSE_MS, LONGEST_PAUSE_MS, random);
    for (;;) {
      try {
        return await this.#askEach(method, message, options, endMs);
      } catch (error) {
        const pauseMs = backoff.next(Math.min(LONGEST_PAUSE_MS, retryAfterOf(error) ?? 0));
        const over = clock.monotonic() + pauseMs >= endMs;
        if (signal.aborted || over || !(error instanceof Passing)) throw causeOf(error);
        await pause(pauseMs, clock, signal);
      }
    }
  }

  /** The messages of one stream, read as fast as they are taken. Throws as `call` rejects; asks once. */
  async *stream<I extends DescMessage, O extends DescMessage>(
    method: Method<I, O>,
    message: MessageShape<I>,
    { signal, metadata }: Pick<CallOptions, 'signal' | 'metadata'>,
  ): AsyncGenerator<MessageShape<O>, void> {
    signal.throwIfAborted();
    const index = this.#preferred;
    const { path, requestSerialize, responseDeserialize } = methodDefinition(method);
    const stream = this.#client(index).makeServerStreamRequest(
      path,
      requestSerialize,
      responseDeserialize,
      message,
      metadata(),
    );
    const cancel = () => stream.cancel();
    signal.addEventListener('abort', cancel, { once: true });
    try {
      for await (const one of stream as AsyncIterable<MessageShape<O>>) yield one;
    } catch (error) {
      signal.throwIfAborted();
      const failure = this.#failure(error);
      // The next attempt, if there is one, goes to another.
      if (failure instanceof Passing) this.#preferred = (index + 1) % this.#clients.length;
      throw causeOf(failure);
    } finally {
      signal.removeEventListener('abort', cancel);
      stream.cancel();
    }
  }

  close(): void {
    for (const client of this.#clients) client.close();
  }

  async #askEach<I extends DescMessage, O extends DescMessage>(
    method: Method<I, O>,
    message: MessageShape<I>,
    options: CallOptions,
    endMs: number,
  ): Promise<MessageShape<O>> {
    let failure: unknown;
    for (let i = 0; i < this.#clients.length; i++) {
      const index = (this.#preferred + i) % this.#clients.length;
      const leftMs = Math.max(0, endMs - this.#options.clock.monotonic());
      try {
        const answer = await ask(this.#client(index), method, message, options, leftMs);
        this.#preferred = index;
        return answer;
      } catch (error) {
        options.signal.throwIfAborted();
        failure = this.#failure(error);
        if (!(failure instanceof Passing)) throw failure;
      }
    }
    throw failure;
  }

  #failure(error: unknown): unknown {
    const { passes, unavailable } = this.#options;
    if (!isServiceError(error)) return error;
    const sent = sentError(error);
    if (sent) return passes(sent) ? new Passing(sent) : sent;
    const told = unavailable(reasonFor(error), error);
    // What takes too long, or is refused by the certificate, is no better a moment later.
    return error.code === GrpcStatus.UNAVAILABLE ? new Passing(told) : told;
  }

  #client(index: number): Client {
    const client = this.#clients[index];
    if (!client) throw new TypeError('a set of servers has at least one');
    return client;
  }
}

/** A failure after which it makes sense to ask again. */
class Passing extends Error {
  override readonly name = 'Passing';
  override readonly cause: GatewayError;

  constructor(cause: GatewayError) {
    super(cause.message);
    this.cause = cause;
  }
}

function causeOf(error: unknown): unknown {
  return error instanceof Passing ? error.cause : error;
}

function isServiceError(error: unknown): error is ServiceError {
  return error instanceof Error && 'code' in error && 'details' in error && 'metadata' in error;
}

/** For whoever asked, who may be anybody: without the addresses that the library tells of. */
function reasonFor({ code, details }: ServiceError): string {
  if (code === GrpcStatus.UNAVAILABLE) return 'it cannot be reached';
  if (code === GrpcStatus.DEADLINE_EXCEEDED) return 'it takes too long';
  const name = Object.entries(GrpcStatus).find(([, value]) => value === code)?.[0] ?? code;
  return `${name}: ${details}`;
}

function ask<I extends DescMessage, O extends DescMessage>(
  client: Client,
  method: Method<I, O>,
  message: MessageShape<I>,
  { signal, metadata, onMetadata }: CallOptions,
  timeoutMs: number,
): Promise<MessageShape<O>> {
  const { path, requestSerialize, responseDeserialize } = methodDefinition(method);
  return new Promise((resolve, reject) => {
    const cancel = () => call.cancel();
    const call = client.makeUnaryRequest(
      path,
      requestSerialize,
      responseDeserialize,
      message,
      metadata(),
      { deadline: Date.now() + timeoutMs },
      (error: ServiceError | null, response?: MessageShape<O>) => {
        signal.removeEventListener('abort', cancel);
        if (response) resolve(response);
        else reject(error ?? new Error('A call ended without an answer.'));
      },
    );
    if (onMetadata) call.on('metadata', onMetadata);
    signal.addEventListener('abort', cancel, { once: true });
    if (signal.aborted) cancel();
  });
}

/** Rejects with the signal's reason when that fires first. */
export function pause(ms: number, clock: Clock, signal: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    const aborted = () => {
      timer.cancel();
      reject(signal.reason instanceof Error ? signal.reason : new Error('Nobody waits any more.'));
    };
    const timer = clock.setTimer(ms, () => {
      signal.removeEventListener('abort', aborted);
      resolve();
    });
    if (signal.aborted) aborted();
    else signal.addEventListener('abort', aborted, { once: true });
  });
}
