/** Whether a control plane is there to be asked, kept up to date without asking it anything. */
import { type ChannelCredentials, Client, connectivityState } from '@grpc/grpc-js';
import { channelOptions } from '../../grpc/client-channel.js';
import type { Clock, Timer } from '../../model/clock.js';

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
