/** A client of the front: any Spark Connect RPC with bytes for messages. */
import {
  type ChannelCredentials,
  Client,
  type ClientDuplexStream,
  credentials,
  Metadata,
  type StatusObject,
} from '@grpc/grpc-js';
import { SPARK_CONNECT_SERVICE } from '../../src/model/names.js';
import type { Issued } from './certificates.js';

const bytes = (value: Buffer): Buffer => value;

export class Rpc {
  readonly received: string[] = [];
  readonly status: Promise<StatusObject>;
  readonly #call: ClientDuplexStream<Buffer, Buffer>;
  readonly #waiting = new Set<() => void>();

  constructor(call: ClientDuplexStream<Buffer, Buffer>) {
    this.#call = call;
    this.status = new Promise((resolve) => {
      call.on('status', resolve);
    });
    call.on('data', (message: Buffer) => {
      this.received.push(message.toString());
      for (const wake of this.#waiting) wake();
    });
    // Statuses other than OK come as errors too.
    call.on('error', () => undefined);
  }

  send(message: string | Buffer): void {
    this.#call.write(Buffer.isBuffer(message) ? message : Buffer.from(message));
  }

  halfClose(): void {
    this.#call.end();
  }

  cancel(): void {
    this.#call.cancel();
  }

  /** Resolves when `count` messages have come. */
  async messages(count: number): Promise<readonly string[]> {
    while (this.received.length < count) {
      await new Promise<void>((resolve) => {
        this.#waiting.add(resolve);
      });
    }
    return this.received;
  }
}

export interface ClientTls {
  /** Whom to trust, PEM. */
  readonly authority: string;
  readonly identity?: Issued;
}

function secured({ authority, identity }: ClientTls): ChannelCredentials {
  return credentials.createSsl(
    Buffer.from(authority),
    identity ? Buffer.from(identity.keyPem) : null,
    identity ? Buffer.from(identity.certificatePem) : null,
  );
}

export class SparkClient {
  readonly #client: Client;

  /** @param address `ip:port` */
  constructor(address: string, tls?: ClientTls) {
    this.#client = new Client(address, tls ? secured(tls) : credentials.createInsecure(), {
      // The certificates of tests are for this name.
      ...(tls ? { 'grpc.ssl_target_name_override': 'localhost' } : {}),
      // Each client has a connection of its own, as each process has.
      'grpc.use_local_subchannel_pool': 1,
    });
  }

  /** Opens an RPC and sends nothing yet. */
  open(method: string, headers: Record<string, string> = {}, service = SPARK_CONNECT_SERVICE): Rpc {
    const metadata = new Metadata();
    for (const [name, value] of Object.entries(headers)) metadata.set(name, value);
    return new Rpc(
      this.#client.makeBidiStreamRequest(`/${service}/${method}`, bytes, bytes, metadata),
    );
  }

  /** One request message; resolves with what came back when the RPC is over. */
  async ask(
    method: string,
    headers: Record<string, string> = {},
    message = 'request',
  ): Promise<{ code: number; details: string; received: readonly string[] }> {
    const rpc = this.open(method, headers);
    rpc.send(message);
    rpc.halfClose();
    const { code, details } = await rpc.status;
    return { code, details, received: rpc.received };
  }

  close(): void {
    this.#client.close();
  }
}
