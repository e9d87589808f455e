/** What runs in a pod: something that listens on an address of its own. */
import { createServer, type Server, type Socket } from 'node:net';
import type { Pod } from '../../../src/lib/kubernetes/objects.js';
import { reserveNetwork } from '../../support/loopback.js';

export interface RunningDriver {
  readonly address: string;
  /** Resolves when its port answers. */
  readonly ready: Promise<void>;
  /** Resolves with its exit status when it has ended. */
  readonly ended: Promise<number>;
  /** Asks it to end. */
  stop(): void;
  /** From now on it accepts connections and answers nothing, as a process that was stopped. */
  standStill?(): void;
}

/** `env`: the environment of the pod's first container, Secrets looked up. */
export type Runtime = (pod: Pod, env: Readonly<Record<string, string>>) => RunningDriver;

/** Hands out loopback addresses, the least recently used first. */
export class LoopbackAddresses {
  readonly #free: string[];

  private constructor(networks: readonly string[]) {
    this.#free = networks.flatMap((network) =>
      Array.from({ length: 249 }, (_, index) => `${network}.${index + 2}`),
    );
  }

  /** Of so many networks that nobody else uses, with 249 addresses each. */
  static async reserve(networks = 1): Promise<LoopbackAddresses> {
    return new LoopbackAddresses(
      await Promise.all(Array.from({ length: networks }, () => reserveNetwork())),
    );
  }

  take(): string {
    const address = this.#free.shift();
    if (address === undefined) throw new Error('No loopback address is left.');
    return address;
  }

  giveBack(address: string): void {
    this.#free.push(address);
  }
}

/** The first frame of an HTTP/2 server, RFC 9113 section 3.4. */
const SETTINGS = Buffer.from([0, 0, 0, 4, 0, 0, 0, 0, 0]);

/** Drivers that accept connections and say no more than that they are there, for tests of numbers and of Kubernetes alone. */
export function listeners(addresses: LoopbackAddresses, port = 15002): Runtime {
  return () => {
    const address = addresses.take();
    const sockets = new Set<Socket>();
    let isStill = false;
    const server: Server = createServer((socket) => {
      sockets.add(socket);
      socket.on('close', () => sockets.delete(socket));
      socket.on('error', () => {});
      if (!isStill) socket.write(SETTINGS);
    });
    return {
      address,
      ready: new Promise((resolve) => {
        server.listen(port, address, resolve);
      }),
      ended: new Promise((resolve) => {
        server.on('close', () => {
          addresses.giveBack(address);
          resolve(143);
        });
      }),
      standStill: () => {
        isStill = true;
      },
      stop: () => {
        if (server.listening) server.close();
        else server.once('listening', () => server.close());
        for (const socket of sockets) socket.destroy();
      },
    };
  };
}
