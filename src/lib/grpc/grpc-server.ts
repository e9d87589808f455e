/** A grpc-js server on one address: what every port of the gateway that speaks gRPC has in common. */
import { Server, type ServerCredentials, type ServerInterceptor } from '@grpc/grpc-js';
import type { Clock } from '../../model/clock.js';
import { GatewayError } from '../../model/errors.js';

export interface GrpcServerOptions {
  /** For messages: what listens here, as a setting or in words. */
  readonly name: string;
  /** As grpc-js takes it: host:port or unix:path. */
  readonly address: string;
  readonly credentials: ServerCredentials;
  /** Of one message; unset: gRPC's 4 MiB. */
  readonly maxRequestBytes?: number;
  readonly interceptors?: readonly ServerInterceptor[];
  readonly clock: Clock;
}

/** Streams that have not ended by themselves after this are cut. */
const CLOSE_GRACE_MS = 2_000;

export class GrpcServer {
  /** Services are added to it. */
  readonly server: Server;
  readonly #options: GrpcServerOptions;

  constructor(options: GrpcServerOptions) {
    const { maxRequestBytes, interceptors = [] } = options;
    this.#options = options;
    this.server = new Server({
      // A client that is gone without a word is noticed within 40 s.
      'grpc.keepalive_time_ms': 30_000,
      'grpc.keepalive_timeout_ms': 10_000,
      'grpc.max_send_message_length': -1,
      ...(maxRequestBytes === undefined
        ? {}
        : { 'grpc.max_receive_message_length': maxRequestBytes }),
      interceptors: [...interceptors],
    });
  }

  /** Resolves with the port. Rejects with SETTINGS_INVALID when the address cannot be listened on. */
  listen(): Promise<number> {
    const { name, address, credentials } = this.#options;
    return new Promise((resolve, reject) => {
      this.server.bindAsync(address, credentials, (error, port) => {
        if (!error) resolve(port);
        else {
          const message = `${name}: cannot listen on ${address}: ${error.message}. Is it in use?`;
          reject(new GatewayError('SETTINGS_INVALID', message, { cause: error }));
        }
      });
    });
  }

  /** Resolves when no call is under way and the address is free. */
  async close(): Promise<void> {
    const limit = this.#options.clock.setTimer(CLOSE_GRACE_MS, () => this.server.forceShutdown());
    await new Promise<void>((resolve) => {
      this.server.tryShutdown(() => resolve());
    });
    limit.cancel();
  }
}
