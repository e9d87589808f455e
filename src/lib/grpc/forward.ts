/**
 * Passes calls on to another server, message by message as bytes. On the wire unary and streaming
 * calls are the same (https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md), so all are
 * passed on as streams.
 */
import type { DescMessage, DescMethod, DescService, MessageShape } from '@bufbuild/protobuf';
import {
  Client,
  type ChannelCredentials,
  type ClientDuplexStream,
  type ClientWritableStream,
  type handleBidiStreamingCall,
  Metadata,
  type Server,
  type ServerDuplexStream,
  type ServiceError,
  type StatusObject,
} from '@grpc/grpc-js';
import { type GatewayError, GrpcStatus } from '../../model/errors.js';
import { TRACE_HEADER } from '../../model/names.js';
import { channelOptions, asOnTheWire, methodDefinition } from './channels.js';
import { fromServiceError, toServiceError } from './status-details.js';

/** Makes one call of the leader's service; rejects with a GatewayError. */
export type CallLeader = <I extends DescMessage, O extends DescMessage>(
  method: DescMethod & { readonly input: I; readonly output: O },
  message: MessageShape<I>,
  /** Ends the call when it fires. */
  signal?: AbortSignal,
) => Promise<MessageShape<O>>;

export interface ForwarderOptions {
  readonly credentials: ChannelCredentials;
  /** Name in the other server's certificate, where it is not the address. */
  readonly serverName?: string | undefined;
  /** What a caller is told while there is nobody to pass its call on to. */
  readonly unavailable: () => GatewayError;
}

/** Marks a call that was passed on once. It is not passed on again: two servers that take each other for the right one would go round in circles. */
const FORWARDED_HEADER = 'spark-gateway-forwarded';

type Call = ServerDuplexStream<Buffer, Buffer>;

export class Forwarder {
  readonly #options: ForwarderOptions;
  #target: { readonly address: string; readonly client: Client } | undefined;

  constructor(options: ForwarderOptions) {
    this.#options = options;
  }

  /**
   * Where calls go from now on; undefined: nowhere. Calls under way go on with the server that they
   * were passed on to: whoever owns the server ends them.
   */
  setTarget(address: string | undefined): void {
    if (this.#target?.address === address) return;
    this.#target?.client.close();
    this.#target = address === undefined ? undefined : { address, client: this.#connect(address) };
  }

  /** Registers every method of these services on the server. */
  addServices(server: Server, services: readonly DescService[]): void {
    for (const service of services) {
      for (const { name } of service.methods) {
        const path = `/${service.typeName}/${name}`;
        const handle: handleBidiStreamingCall<Buffer, Buffer> = (call) => this.#pass(path, call);
        server.register(path, handle, asOnTheWire, asOnTheWire, 'bidi');
      }
    }
  }

  /**
   * A call of this process's own, to where calls go now. Rejects with what the other server says, or
   * with what `unavailable` makes. `timeoutMs`: how long an answer is waited for, unless the signal ends
   * the call before.
   */
  call<I extends DescMessage, O extends DescMessage>(
    method: DescMethod & { readonly input: I; readonly output: O },
    message: MessageShape<I>,
    timeoutMs: number,
    signal?: AbortSignal,
  ): Promise<MessageShape<O>> {
    const target = this.#target;
    if (!target) return Promise.reject(this.#options.unavailable());
    const { path, requestSerialize, responseDeserialize } = methodDefinition(method);
    const metadata = new Metadata();
    metadata.set(FORWARDED_HEADER, 'true');
    return new Promise((resolve, reject) => {
      const call = target.client.makeUnaryRequest(
        path,
        requestSerialize,
        responseDeserialize,
        message,
        metadata,
        { deadline: Date.now() + timeoutMs },
        (error: ServiceError | null, response?: MessageShape<O>) => {
          signal?.removeEventListener('abort', cancel);
          if (response) resolve(response);
          else if (error) reject(fromServiceError(error));
          else reject(this.#options.unavailable());
        },
      );
      function cancel(): void {
        call.cancel();
      }
      signal?.addEventListener('abort', cancel);
      if (signal?.aborted) cancel();
    });
  }

  /** Begins a call there by itself; undefined while there is nowhere to go. */
  openClientStream(path: string): ClientWritableStream<Buffer> | undefined {
    return this.#target?.client.makeClientStreamRequest<Buffer, Buffer>(
      path,
      asOnTheWire,
      asOnTheWire,
      passedOn(),
      () => undefined,
    );
  }

  close(): void {
    this.setTarget(undefined);
  }

  #connect(address: string): Client {
    const { credentials, serverName } = this.#options;
    return new Client(address, credentials, channelOptions('quick', serverName));
  }

  #pass(path: string, call: Call): void {
    if (!this.#target || isPassedOn(call)) {
      call.emit('error', toServiceError(this.#options.unavailable()));
      return;
    }
    const onward = this.#target.client.makeBidiStreamRequest<Buffer, Buffer>(
      path,
      asOnTheWire,
      asOnTheWire,
      passedOn(call.metadata),
      { deadline: call.getDeadline() },
    );
    copy(call, onward);
    copy(onward, call);
    call.on('end', () => onward.end());
    call.on('cancelled', () => onward.cancel());
    onward.on('metadata', (received: Metadata) => call.sendMetadata(received));
    // Every end of the onward call, with or without an error, has a status.
    onward.on('error', () => undefined);
    const status = new Promise<StatusObject>((resolve) => onward.on('status', resolve));
    // The status may overtake messages that the caller has not taken yet.
    onward.on('end', () => void status.then((end) => this.#finish(call, end)));
  }

  #finish(call: Call, { code, details, metadata }: StatusObject): void {
    if (code === GrpcStatus.OK) {
      call.end(metadata);
      return;
    }
    // A connection that fails has no details; a refusal by the other server has.
    const failed =
      code === GrpcStatus.UNAVAILABLE && metadata.get('grpc-status-details-bin').length === 0;
    const error = failed
      ? toServiceError(this.#options.unavailable())
      : { code, details, metadata };
    call.emit('error', error);
  }
}

/** Reads no faster than the other side takes it. */
function copy(
  from: Call | ClientDuplexStream<Buffer, Buffer>,
  to: Call | ClientDuplexStream<Buffer, Buffer>,
): void {
  from.on('data', (message: Buffer) => {
    if (!to.write(message)) from.pause();
  });
  to.on('drain', () => from.resume());
}

/** Whether another server has passed this call on. */
export function isPassedOn({ metadata }: { readonly metadata: Metadata }): boolean {
  return metadata.get(FORWARDED_HEADER).length > 0;
}

/** @param of the call that is passed on; nothing of it but its trace goes on */
function passedOn(received?: Metadata): Metadata {
  const metadata = new Metadata();
  metadata.set(FORWARDED_HEADER, 'true');
  const [traceparent] = received?.get(TRACE_HEADER) ?? [];
  if (traceparent !== undefined) metadata.set(TRACE_HEADER, traceparent);
  return metadata;
}
