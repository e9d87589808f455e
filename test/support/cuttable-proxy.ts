import { connect, createServer, type Server, type Socket } from 'node:net';

/** A TCP proxy on loopback whose connections a test can cut and refuse. */
export class CuttableProxy {
  readonly #server: Server;
  readonly #sockets = new Set<Socket>();
  #open = true;

  private constructor(host: string, port: number) {
    this.#server = createServer((inbound) => {
      if (!this.#open) {
        inbound.destroy();
        return;
      }
      const outbound = connect(port, host);
      for (const [socket, other] of [
        [inbound, outbound],
        [outbound, inbound],
      ] as const) {
        this.#sockets.add(socket);
        socket.on('error', () => {});
        socket.on('close', () => {
          this.#sockets.delete(socket);
          other.destroy();
        });
        socket.pipe(other);
      }
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
    const address = this.#server.address();
    return `https://127.0.0.1:${typeof address === 'object' && address ? address.port : 0}`;
  }

  /** Ends every connection; none can be made until it is healed. */
  cut(): void {
    this.#open = false;
    for (const socket of this.#sockets) socket.destroy();
  }

  heal(): void {
    this.#open = true;
  }

  stop(): void {
    this.cut();
    this.#server.close();
  }
}
