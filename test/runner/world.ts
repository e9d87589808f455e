/** A Runner on a real port before a fake control plane, and a client of it. */
import {
  create,
  type DescMessage,
  type DescMethod,
  type MessageInitShape,
  type MessageShape,
} from '@bufbuild/protobuf';
import {
  type ChannelCredentials,
  Client,
  credentials,
  Metadata,
  type ServiceError,
} from '@grpc/grpc-js';
import type { ExecutionContext } from 'ava';
import { pino } from 'pino';
import { methodDefinition } from '../../src/lib/grpc/channels.js';
import { fromServiceError } from '../../src/lib/grpc/status-details.js';
import { clientCredentials, serverCredentials, type TlsFiles } from '../../src/lib/grpc/tls.js';
import { openStorage } from '../../src/lib/storage/storage.js';
import { systemClock } from '../../src/model/clock.js';
import { ControlPlane } from '../../src/runner/control-plane-client.js';
import type { CallEnd } from '../../src/runner/handlers.js';
import { type RunnerServer, startRunner } from '../../src/runner/server.js';
import type { Validate } from '../../src/runner/services.js';
import { FakeBatchService } from '../support/fake-batch-service.js';

export interface WorldOptions {
  readonly validate?: Validate;
  readonly folders?: readonly string[];
  /** Where S3 answers. */
  readonly s3Endpoint?: string;
  readonly allowedSans?: readonly string[];
  /** Of the Runner's port. */
  readonly tls?: TlsFiles;
  /** In place of the fake one: a control plane that is there, and the Runner's certificate for it. */
  readonly controlPlane?: { readonly address: string; readonly tls: TlsFiles };
  /** Control planes beside the fake one, which do not answer; they are asked first. */
  readonly dead?: readonly string[];
}

type Method<I extends DescMessage, O extends DescMessage> = DescMethod & {
  readonly input: I;
  readonly output: O;
};

export interface CallerOptions {
  readonly user?: string;
  readonly groups?: readonly string[];
  readonly timeoutMs?: number;
  readonly onMetadata?: (metadata: Metadata) => void;
}

export class RunnerWorld {
  readonly gateway: FakeBatchService;
  readonly ends: CallEnd[] = [];
  readonly #options: WorldOptions;
  #runner: RunnerServer | undefined;
  #controlPlane: ControlPlane | undefined;
  port = 0;

  private constructor(gateway: FakeBatchService, options: WorldOptions) {
    this.gateway = gateway;
    this.#options = options;
  }

  static async start(t: ExecutionContext, options: WorldOptions = {}): Promise<RunnerWorld> {
    const world = new RunnerWorld(await FakeBatchService.start(), options);
    await world.startRunner();
    t.teardown(async () => {
      await world.stopRunner();
      await world.gateway.stop();
    });
    return world;
  }

  /** Again at the same port. */
  async startRunner(): Promise<void> {
    const {
      controlPlane: real,
      dead = [],
      tls,
      validate = () => undefined,
      folders = [],
    } = this.#options;
    this.#controlPlane = new ControlPlane({
      addresses: [...dead, real?.address ?? this.gateway.address],
      credentials: real
        ? clientCredentials(real.tls, { clock: systemClock, serverNames: [] })
        : credentials.createInsecure(),
      serverName: undefined,
      clock: systemClock,
    });
    this.#runner = await startRunner({
      address: { host: '127.0.0.1', port: this.port },
      credentials: serverCredentials(tls, { clock: systemClock }),
      controlPlane: this.#controlPlane,
      storage: openStorage({
        folders,
        s3: { endpoint: this.#options.s3Endpoint, region: undefined, pathStyle: true },
      }),
      validate,
      rules: { allowedSans: this.#options.allowedSans ?? [], userHeader: 'x-doordash-user' },
      clock: systemClock,
      logger: pino({ level: process.env['TEST_LOG'] ?? 'silent' }),
      onEnd: (end) => this.ends.push(end),
    });
    this.port = this.#runner.port;
  }

  async stopRunner(): Promise<void> {
    await this.#runner?.close();
    this.#controlPlane?.close();
  }

  get serving(): boolean {
    return this.#runner?.serving === true;
  }

  client(t: ExecutionContext, tls?: TlsFiles): RunnerClient {
    const channel = tls
      ? clientCredentials(tls, { clock: systemClock, serverNames: [] })
      : credentials.createInsecure();
    const client = new RunnerClient(`127.0.0.1:${this.port}`, channel);
    t.teardown(() => client.close());
    return client;
  }
}

export class RunnerClient {
  readonly #client: Client;

  constructor(address: string, channel: ChannelCredentials) {
    this.#client = new Client(address, channel, { 'grpc.initial_reconnect_backoff_ms': 100 });
  }

  close(): void {
    this.#client.close();
  }

  /** Rejects with the GatewayError that was sent. */
  call<I extends DescMessage, O extends DescMessage>(
    method: Method<I, O>,
    message: MessageInitShape<I>,
    options: CallerOptions = {},
  ): Promise<MessageShape<O>> {
    const { path, requestSerialize, responseDeserialize } = methodDefinition(method);
    return new Promise((resolve, reject) => {
      const call = this.#client.makeUnaryRequest(
        path,
        requestSerialize,
        responseDeserialize,
        create(method.input, message),
        metadataOf(options),
        { deadline: Date.now() + (options.timeoutMs ?? 20_000) },
        (error: ServiceError | null, response?: MessageShape<O>) =>
          response ? resolve(response) : reject(error ? fromServiceError(error) : new Error()),
      );
      if (options.onMetadata) call.on('metadata', options.onMetadata);
    });
  }

  stream<I extends DescMessage, O extends DescMessage>(
    method: Method<I, O>,
    message: MessageInitShape<I>,
    options: CallerOptions = {},
  ) {
    const { path, requestSerialize, responseDeserialize } = methodDefinition(method);
    return this.#client.makeServerStreamRequest(
      path,
      requestSerialize,
      responseDeserialize,
      create(method.input, message),
      metadataOf(options),
    );
  }
}

function metadataOf({ user, groups = [] }: CallerOptions): Metadata {
  const metadata = new Metadata();
  if (user !== undefined) metadata.set('x-doordash-user', user);
  for (const group of groups) metadata.add('x-doordash-group', group);
  return metadata;
}
