import { connect, createServer, type Server, type Socket } from 'node:net';

/** A TCP proxy on loopback whose connections a test can cut and refuse, or let stand still. */
export class CuttableProxy {
  readonly #server: Server;
  /** Each connection, from the client and to the server. */
  readonly #pairs = new Set<readonly [Socket, Socket]>();
  #state: 'open' | 'stalled' | 'cut' = 'open';

  private constructor(host: string, port: number) {
    this.#server = createServer((inbound) => {
      if (this.#state === 'cut') {
        inbound.destroy();
        return;
      }
      const pair = [inbound, connect(port, host)] as const;
      this.#pairs.add(pair);
      for (const socket of pair) {
        socket.on('error', () => {});
        socket.on('close', () => {
          this.#pairs.delete(pair);
          for (const either of pair) either.destroy();
        });
      }
      if (this.#state === 'open') join(pair);
    });
  }

  /** @param target URL, of which host and port count */
  static async start(
    target: string,
    listen = { host: '127.0.0.1', port: 0 },
  ): Promise<CuttableProxy> {
    const { hostname, port } = new URL(target);
    const proxy = new CuttableProxy(hostname, Number(port));
    await new Promise<void>((resolve) => {
      proxy.#server.listen(listen, resolve);
    });
    return proxy;
  }

  get url(): string {
    return `https://${this.address}`;
  }

  /** `host:port`. */
  get address(): string {
    const address = this.#server.address();
    return `127.0.0.1:${typeof address === 'object' && address ? address.port : 0}`;
  }

  /** Ends every connection; none can be made until it is healed. */
  cut(): void {
    this.#state = 'cut';
    for (const [socket] of this.#pairs) socket.destroy();
  }

  /** Nothing gets through until it is healed, and nobody is told; then all of it arrives, late. */
  stall(): void {
    this.#state = 'stalled';
    for (const pair of this.#pairs) for (const socket of pair) socket.unpipe();
  }

  heal(): void {
    const before = this.#state;
    this.#state = 'open';
    if (before === 'stalled') for (const pair of this.#pairs) join(pair);
  }

  stop(): void {
    this.cut();
    this.#server.close();
  }
}

function join([one, other]: readonly [Socket, Socket]): void {
  one.pipe(other);
  other.pipe(one);
}
