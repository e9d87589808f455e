/** Whether a control plane is there to be asked, kept up to date without asking it anything. */
import {
  type ChannelCredentials,
  Client,
  connectivityState,
  Metadata,
  type ServerDuplexStream,
  status,
  type StatusObject,
} from '@grpc/grpc-js';
import type { Logger } from 'pino';
import { channelOptions, asOnTheWire } from '../../lib/grpc/channels.js';
import type { Clock, Timer } from '../../model/clock.js';
import type { Recorder } from './recorder.js';

export interface ControlPlaneLinkOptions {
  /** `host:port`; all addresses of a name are tried. */
  readonly address: string;
  readonly credentials: ChannelCredentials;
  /** Name in the control plane's certificate, where it is not the host dialled. */
  readonly serverName?: string | undefined;
  readonly clock: Clock;
  /** Called when `usable` has changed. */
  readonly onChange: () => void;
}

/** How long a first connection may take before no control plane counts as there. */
const DECIDE_WITHIN_MS = 3_000;
/** A control plane that took a stream and gave no answer is not asked again for so long. */
const DISTRUST_MS = 5_000;
const MAX_MESSAGE_BYTES = 256 * 1024 * 1024;

export class ControlPlaneLink {
  readonly client: Client;
  readonly #options: ControlPlaneLinkOptions;
  #connected = false;
  #undecided: Timer | undefined;
  #distrusted: Timer | undefined;
  #closed = false;

  constructor(options: ControlPlaneLinkOptions) {
    this.#options = options;
    const { address, credentials, serverName, clock } = options;
    this.client = new Client(address, credentials, {
      ...channelOptions('quick', serverName),
      'grpc.max_receive_message_length': MAX_MESSAGE_BYTES,
      'grpc.max_send_message_length': MAX_MESSAGE_BYTES,
    });
    this.#undecided = clock.setTimer(DECIDE_WITHIN_MS, () => this.#decide());
    this.#follow();
  }

  /** Undefined until the first connection has been made or has failed. */
  get usable(): boolean | undefined {
    if (this.#undecided) return undefined;
    return this.#connected && !this.#distrusted;
  }

  /** Leaves the control plane alone for a while. */
  distrust(): void {
    this.#distrusted?.cancel();
    this.#distrusted = this.#options.clock.setTimer(DISTRUST_MS, () => {
      this.#distrusted = undefined;
      this.#options.onChange();
    });
    this.#options.onChange();
  }

  close(): void {
    this.#closed = true;
    this.#undecided?.cancel();
    this.#distrusted?.cancel();
    this.client.close();
  }

  #follow(): void {
    if (this.#closed) return;
    const channel = this.client.getChannel();
    // Asking also ends the idleness into which a lost connection falls.
    const state = channel.getConnectivityState(true);
    const connected = state === connectivityState.READY;
    const changed = connected !== this.#connected;
    this.#connected = connected;
    if (connected || state === connectivityState.TRANSIENT_FAILURE) this.#decide();
    if (changed) this.#options.onChange();
    channel.watchConnectivityState(state, Infinity, () => this.#follow());
  }

  #decide(): void {
    if (!this.#undecided) return;
    this.#undecided.cancel();
    this.#undecided = undefined;
    this.#options.onChange();
  }
}

// One stream of Envoy, passed on to a control plane message by message.

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
