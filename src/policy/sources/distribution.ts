/** The policy in force as a control plane tells it: what a sidecar decides by. */
import { create, toBinary } from '@bufbuild/protobuf';
import {
  type ChannelCredentials,
  Client,
  type ClientReadableStream,
  type Server,
  type ServerWritableStream,
} from '@grpc/grpc-js';
import type { Logger } from 'pino';
import {
  PolicyService,
  type WatchPolicyResponse,
  WatchPolicyRequestSchema,
  type WatchPolicyRequest,
  WatchPolicyResponseSchema,
} from '#gen/spark_gateway/v1/policy_pb.js';
import { channelOptions, methodDefinition, asOnTheWire } from '../../lib/grpc/channels.js';
import { toServiceError } from '../../lib/grpc/status-details.js';
import { Backoff, type Clock, type Timer } from '../../model/clock.js';
import { toGatewayError, type GatewayError } from '../../model/errors.js';
import type { Policy } from '../../model/policy.js';
import { NewestPolicy } from '../aside/compile-aside.js';
import type { PolicyOptions } from '../compile.js';
import {
  type KeptPolicy,
  LastGoodPolicy,
  type PolicySource,
  type PolicyStatus,
} from './last-good.js';

// PolicyService (proto/spark_gateway/v1): the policy in force, told to sidecars.

type Call = ServerWritableStream<WatchPolicyRequest, Buffer>;

const watch = { ...methodDefinition(PolicyService.method.watch), responseSerialize: asOnTheWire };

export class PolicyDistribution {
  readonly #source: Pick<PolicySource, 'status' | 'onChange'>;
  readonly #calls = new Set<Call>();
  /** A policy may be large, and sidecars many: it is written as bytes once. */
  #encoded: { readonly version: string; readonly bytes: Buffer } | undefined;

  constructor(source: Pick<PolicySource, 'status' | 'onChange'>) {
    this.#source = source;
  }

  addTo(server: Server): void {
    server.addService({ watch }, { watch: (call: Call) => this.#watch(call) });
  }

  /** Ends every call: their callers turn to another control plane. */
  close(error: GatewayError): void {
    for (const call of this.#calls) call.emit('error', toServiceError(error));
    this.#calls.clear();
  }

  #watch(call: Call): void {
    let told: string | undefined;
    let writable = true;
    const tell = () => {
      const { version } = this.#source.status;
      if (!writable || version === told) return;
      told = version;
      writable = call.write(this.#bytes());
    };
    const stop = this.#source.onChange(tell);
    this.#calls.add(call);
    const ended = () => {
      stop();
      this.#calls.delete(call);
    };
    call.on('cancelled', ended);
    call.on('close', ended);
    call.on('error', ended);
    call.on('drain', () => {
      writable = true;
      tell();
    });
    tell();
  }

  #bytes(): Buffer {
    const { version, text: document } = this.#source.status;
    if (this.#encoded?.version !== version) {
      const message = create(WatchPolicyResponseSchema, { version, document });
      const bytes = Buffer.from(toBinary(WatchPolicyResponseSchema, message));
      this.#encoded = { version, bytes };
    }
    return this.#encoded.bytes;
  }
}

export interface RemotePolicyOptions {
  /** gRPC target of the control planes; any of them answers. */
  readonly address: string;
  readonly credentials: ChannelCredentials;
  /** Name in the control planes' certificate; undefined: the host of the address. */
  readonly serverName: string | undefined;
  readonly compile: PolicyOptions;
  /** Used until a control plane answers. */
  readonly kept: KeptPolicy;
  readonly clock: Clock;
  readonly logger: Logger;
  /** In [0, 1), for the pauses between attempts. Default Math.random. */
  readonly random?: () => number;
}

const FIRST_PAUSE_MS = 100;
const LONGEST_PAUSE_MS = 5_000;

const method = methodDefinition(PolicyService.method.watch);

export class RemotePolicy implements PolicySource {
  readonly source = 'control plane';
  readonly #options: RemotePolicyOptions;
  readonly #lastGood: LastGoodPolicy;
  readonly #newest: NewestPolicy;
  readonly #client: Client;
  #stream: ClientReadableStream<WatchPolicyResponse> | undefined;
  #retry: Timer | undefined;
  readonly #backoff: Backoff;
  /** The gRPC status for want of which nothing is told, as it was logged. */
  #trouble: number | undefined;
  #closed = false;

  /** Resolves when a policy is in force, be it the kept one; with undefined when the signal fires before that. */
  static async open(
    options: RemotePolicyOptions,
    signal: AbortSignal,
  ): Promise<RemotePolicy | undefined> {
    const remote = new RemotePolicy(options);
    const kept = await options.kept.read();
    if (kept !== undefined) await remote.#offer(kept, options.kept.file);
    remote.#connect();
    if (await remote.#lastGood.arrived(signal)) return remote;
    await remote.close();
    return undefined;
  }

  private constructor(options: RemotePolicyOptions) {
    const { address, credentials, serverName, clock, logger } = options;
    this.#options = options;
    this.#backoff = new Backoff(FIRST_PAUSE_MS, LONGEST_PAUSE_MS, options.random);
    this.#newest = new NewestPolicy(options.compile);
    this.#lastGood = new LastGoodPolicy({
      what: 'the policy of the control plane',
      clock,
      logger,
    });
    this.#client = new Client(address, credentials, channelOptions('steady', serverName));
  }

  get current(): Policy {
    return this.#lastGood.current;
  }

  get status(): PolicyStatus {
    return this.#lastGood.status;
  }

  onChange(listener: (policy: Policy) => void): () => void {
    return this.#lastGood.onChange(listener);
  }

  async close(): Promise<void> {
    this.#closed = true;
    this.#retry?.cancel();
    this.#stream?.cancel();
    this.#client.close();
    this.#newest.giveUp();
    this.#lastGood.close();
    await this.#options.kept.close();
  }

  #connect(): void {
    const stream = this.#client.makeServerStreamRequest(
      method.path,
      method.requestSerialize,
      method.responseDeserialize,
      create(WatchPolicyRequestSchema),
    );
    this.#stream = stream;
    stream.on('data', ({ document }: WatchPolicyResponse) => {
      if (this.#closed) return;
      if (this.#trouble !== undefined) {
        this.#options.logger.info('a control plane tells the policy again');
      }
      this.#trouble = undefined;
      this.#backoff.reset();
      void this.#offer(document, this.source);
    });
    // Every end of the stream, with or without an error, has a status.
    stream.on('error', () => undefined);
    stream.on('status', ({ code, details }) => {
      if (this.#closed) return;
      const { clock, logger } = this.#options;
      if (this.#trouble !== code) {
        logger.warn(
          { code, details, version: this.#lastGood.status.version },
          'no control plane tells the policy; the one in force stays',
        );
        this.#trouble = code;
      }
      this.#retry = clock.setTimer(this.#backoff.next(), () => this.#connect());
    });
  }

  async #offer(text: string, from: string): Promise<void> {
    const { text: known, error } = this.#lastGood.status;
    if (this.#lastGood.isThere && text === known && error === undefined) {
      this.#newest.giveUp();
      return;
    }
    try {
      const compiled = await this.#newest.compile({ text, file: from });
      if (!compiled) return;
      this.#lastGood.take(compiled.policy, text);
      this.#options.kept.keep(text);
    } catch (thrown) {
      this.#lastGood.refuse(toGatewayError(thrown).message);
    }
  }
}
