/** An xDS client on a real gRPC stream. */
import {
  type ChannelCredentials,
  Client,
  type ClientDuplexStream,
  credentials as grpcCredentials,
  type ServiceError,
} from '@grpc/grpc-js';
import { asOnTheWire } from '../../src/lib/grpc/channels.js';
import { type ProtocolName, type ReceivedResponse, XdsClient } from './xds-client.js';

export const ADS = '/envoy.service.discovery.v3.AggregatedDiscoveryService';
const ADS_METHOD: Record<ProtocolName, string> = {
  delta: `${ADS}/DeltaAggregatedResources`,
  sotw: `${ADS}/StreamAggregatedResources`,
};

export interface SocketOptions {
  readonly protocol: ProtocolName;
  readonly nodeId?: string;
  readonly credentials?: ChannelCredentials;
  /** Path of the gRPC method; the aggregated one by default. */
  readonly method?: string;
}

export class SocketClient {
  readonly xds: XdsClient;
  readonly #client: Client;
  readonly #method: string;
  readonly #received: ReceivedResponse[] = [];
  #stream: ClientDuplexStream<Buffer, Buffer> | undefined;
  #wake: () => void = () => undefined;
  #error: ServiceError | undefined;
  bytesReceived = 0;

  constructor(target: string, options: SocketOptions) {
    this.xds = new XdsClient(options.protocol, options.nodeId);
    this.#method = options.method ?? ADS_METHOD[options.protocol];
    this.#client = new Client(target, options.credentials ?? grpcCredentials.createInsecure(), {
      'grpc.use_local_subchannel_pool': 1,
      'grpc.max_receive_message_length': -1,
    });
    this.connect();
  }

  /** A new stream; what was under way on the old one is lost. */
  connect(): void {
    this.#stream?.cancel();
    this.#received.length = 0;
    this.#error = undefined;
    const stream = this.#client.makeBidiStreamRequest(this.#method, asOnTheWire, asOnTheWire);
    this.#stream = stream;
    stream.on('data', (bytes: Buffer) => {
      if (stream !== this.#stream) return;
      this.bytesReceived += bytes.length;
      this.#received.push(this.xds.decode(bytes));
      this.#wake();
    });
    stream.on('error', (error: ServiceError) => {
      if (stream !== this.#stream) return;
      this.#error = error;
      this.#wake();
    });
    this.xds.connect((bytes) => stream.write(bytes));
  }

  /** The next response, not yet answered. Rejects when the stream fails. */
  async next(): Promise<ReceivedResponse> {
    for (;;) {
      const response = this.#received.shift();
      if (response) return response;
      if (this.#error) throw this.#error;
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
    }
  }

  /** Takes responses and answers them until `done` says so, looked at after each. */
  async takeUntil(done: () => boolean): Promise<ReceivedResponse[]> {
    const taken: ReceivedResponse[] = [];
    while (!done()) {
      const response = await this.next();
      this.xds.take(response);
      taken.push(response);
    }
    return taken;
  }

  /** Stops reading from the socket, as a client that hangs. */
  pause(): void {
    this.#stream?.pause();
  }

  resume(): void {
    this.#stream?.resume();
  }

  close(): void {
    this.#stream?.cancel();
    this.#stream = undefined;
    this.#client.close();
  }
}
