/**
 * Stands between one Envoy and the control planes. While one of these answers, it passes the stream
 * on as it is and remembers what Envoy has acknowledged; while none does, it gives that to an Envoy
 * that starts. A change between the two ends Envoy's stream: at its next one, Envoy itself says what
 * it has (`initial_resource_versions`), so that nothing is sent twice and nothing is guessed here.
 */
import {
  type ChannelCredentials,
  type handleBidiStreamingCall,
  Metadata,
  ServerCredentials,
  status,
} from '@grpc/grpc-js';
import type { Logger } from 'pino';
import { AggregatedDiscoveryService } from '#gen/envoy/service/discovery/v3/ads_pb.js';
import { GrpcServer } from '../../lib/grpc/grpc-server.js';
import { prepareLocalAddress, protectLocalAddress } from '../../lib/grpc/local-address.js';
import { asOnTheWire } from '../../lib/grpc/channels.js';
import { formatAddress, type SocketAddress } from '../../model/address.js';
import type { Clock } from '../../model/clock.js';
import { KeptAnswers, KeptConfiguration } from './kept-configuration.js';
import { ControlPlaneLink, type Call, passOn } from './control-plane-link.js';
import { Recorder, type Snapshot } from './recorder.js';

export interface XdsRelayOptions {
  /** Where Envoy asks. Secrets go over it in the clear: loopback or a unix socket. */
  readonly address: SocketAddress;
  readonly controlPlane: {
    /** `host:port`; all addresses of a name are tried. */
    readonly address: string;
    readonly credentials: ChannelCredentials;
    /** Name in the control plane's certificate, where it is not the host dialled. */
    readonly serverName?: string | undefined;
  };
  /** Keeps the configuration; its folder exists. */
  readonly file: string;
  readonly clock: Clock;
  readonly logger: Logger;
}

/** Where the Envoy beside it has its configuration from; `waiting`: from nowhere yet. */
export type ConfigurationSource = 'control-plane' | 'kept' | 'waiting';

const PATH = `/${AggregatedDiscoveryService.typeName}/${AggregatedDiscoveryService.method.deltaAggregatedResources.name}`;
const MAX_REQUEST_BYTES = 64 * 1024 * 1024;

export class XdsRelay {
  readonly #options: XdsRelayOptions;
  readonly #link: ControlPlaneLink;
  readonly #kept: KeptConfiguration;
  readonly #server: GrpcServer;
  /** Not begun to be answered: the first messages have not been read. */
  readonly #waiting = new Set<Call>();
  /** Answered from what was kept. */
  readonly #served = new Set<Call>();
  readonly #live = new Set<Call>();
  /** Of the newest stream; an older one that lingers has nothing to say. */
  #recorder: Recorder | undefined;

  private constructor(options: XdsRelayOptions, kept: KeptConfiguration) {
    this.#options = options;
    this.#kept = kept;
    this.#link = new ControlPlaneLink({
      ...options.controlPlane,
      clock: options.clock,
      onChange: () => this.#linkChanged(),
    });
    const open: handleBidiStreamingCall<Buffer, Buffer> = (call) => this.#open(call);
    this.#server = new GrpcServer({
      name: 'xds.relay_addr',
      address: formatAddress(options.address),
      credentials: ServerCredentials.createInsecure(),
      maxRequestBytes: MAX_REQUEST_BYTES,
      clock: options.clock,
    });
    this.#server.server.register(PATH, open, asOnTheWire, asOnTheWire, 'bidi');
  }

  /** Rejects with SETTINGS_INVALID when it may not or cannot listen. */
  static async start(options: XdsRelayOptions): Promise<XdsRelay> {
    const { address } = options;
    await prepareLocalAddress(address, 'the xDS relay hands out private keys in plain text');
    const relay = new XdsRelay(options, await KeptConfiguration.open(options));
    try {
      await relay.#server.listen();
      await protectLocalAddress(address);
    } catch (error) {
      await relay.close();
      throw error;
    }
    return relay;
  }

  get source(): ConfigurationSource {
    if (this.#live.size > 0) return 'control-plane';
    return this.#served.size > 0 ? 'kept' : 'waiting';
  }

  /** Resolves when nothing is served any more and what is kept is on disk. */
  async close(): Promise<void> {
    for (const call of [...this.#waiting, ...this.#served, ...this.#live]) {
      end(call, 'The process beside Envoy is shutting down.');
    }
    this.#link.close();
    await this.#server.close();
    await this.#kept.close();
  }

  #linkChanged(): void {
    const waiting = [...this.#waiting];
    for (const call of waiting) this.#open(call);
    if (!this.#link.usable) return;
    for (const call of this.#served) end(call, 'A control plane answers again.');
  }

  #open(call: Call): void {
    this.#waiting.delete(call);
    if (call.cancelled) return;
    const { usable } = this.#link;
    const { snapshot } = this.#kept;
    if (usable) this.#pass(call);
    else if (usable === false && snapshot) this.#serve(call, snapshot);
    else {
      this.#waiting.add(call);
      call.once('cancelled', () => this.#waiting.delete(call));
    }
  }

  #pass(call: Call): void {
    const { clock, logger } = this.#options;
    const recorder = new Recorder(this.#kept.snapshot);
    this.#recorder = recorder;
    this.#live.add(call);
    passOn({
      call,
      client: this.#link.client,
      path: PATH,
      recorder,
      clock,
      logger,
      onRequest: () => this.#kept.keepSoon(() => this.#recorder?.snapshot()),
      onEnd: (refused) => {
        this.#live.delete(call);
        if (this.#recorder === recorder) this.#kept.keep(recorder.snapshot());
        if (refused) this.#link.distrust();
      },
    });
  }

  #serve(call: Call, snapshot: Snapshot): void {
    const { logger } = this.#options;
    logger.warn('no control plane answers: Envoy is given its last configuration if it has none');
    this.#served.add(call);
    const answers = new KeptAnswers(snapshot);
    call.on('data', (request: Buffer) => {
      try {
        const answer = answers.answer(request);
        if (answer) call.write(answer);
      } catch (error) {
        logger.error({ err: error }, 'an xDS request cannot be read');
        end(call, 'The request cannot be read.');
      }
    });
    const over = () => this.#served.delete(call);
    call.on('cancelled', over);
    call.on('error', over);
    call.on('end', () => {
      over();
      call.end();
    });
  }
}

function end(call: Call, details: string): void {
  call.emit('error', { code: status.UNAVAILABLE, details, metadata: new Metadata() });
}
