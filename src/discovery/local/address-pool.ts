/** Loopback addresses for local drivers, handed out in turn so that one is not used again soon. */
import { createHash } from 'node:crypto';
import { createServer } from 'node:net';
import { resolve } from 'node:path';
import { readTextIfThere, replaceFile } from '../../lib/files/files.js';
import { GatewayError } from '../../model/errors.js';

/** Every usable address of an IPv4 network such as `127.1.0.0/24`. */
function addressesOf(range: string): readonly string[] {
  const match = /^127\.(\d+)\.(\d+)\.(\d+)\/(\d+)$/.exec(range);
  const bytes = match?.slice(1, 4).map(Number);
  const bits = Number(match?.[4]);
  if (!bytes || bytes.some((byte) => byte > 255) || bits < 16 || bits > 30) {
    throw new GatewayError(
      'SETTINGS_INVALID',
      `"${range}" is not a range of loopback addresses: use 127.x.y.z/n with n from 16 to 30.`,
    );
  }
  const size = 2 ** (32 - bits);
  const given = bytes.reduce((sum, byte) => sum * 256 + byte, 0);
  const base = given - (given % size);
  return Array.from({ length: size - 2 }, (_, i) => {
    const host = base + i + 1;
    return `127.${(host >> 16) & 255}.${(host >> 8) & 255}.${host & 255}`;
  });
}

interface State {
  /** Index of the next address to try. */
  readonly next: number;
  /** When addresses were given back, milliseconds since the epoch. */
  readonly released: Readonly<Record<string, number>>;
}

export interface AddressPoolOptions {
  readonly range: string;
  readonly port: number;
  /** Where the state is kept over restarts. */
  readonly file: string;
  /** An address is not handed out for this long after its driver has ended. */
  readonly quietMs: number;
  readonly now: () => number;
}

export class AddressPool {
  readonly #options: AddressPoolOptions;
  readonly #addresses: readonly string[];
  /** Handed out by this process; their drivers need not be in any list yet. */
  readonly #taken = new Set<string>();
  #turn: Promise<unknown> = Promise.resolve();

  constructor(options: AddressPoolOptions) {
    this.#options = options;
    this.#addresses = addressesOf(options.range);
  }

  /** The next address that nobody has and whose port is free. */
  take(inUse: () => ReadonlySet<string>): Promise<string> {
    return this.#inTurn(async () => {
      const { port, quietMs, now, range } = this.#options;
      const { next, released } = await this.#read();
      const recent = (address: string) => now() - (released[address] ?? -Infinity) < quietMs;
      for (let i = 0; i < this.#addresses.length; i += 1) {
        const index = (next + i) % this.#addresses.length;
        const address = this.#addresses[index] ?? '';
        if (this.#taken.has(address) || inUse().has(address) || recent(address)) continue;
        if (!(await isFree(address, port))) continue;
        this.#taken.add(address);
        await this.#write({
          next: index + 1,
          released: Object.fromEntries(Object.entries(released).filter(([key]) => recent(key))),
        });
        return address;
      }
      throw new GatewayError(
        'DRIVER_START_FAILED',
        `No address of ${range} is free on port ${port}: each has a driver, had one a moment ago, or the port is taken (a server on 0.0.0.0:${port} takes it everywhere).`,
      );
    });
  }

  /** Notes that the address's driver has ended. */
  release(address: string): Promise<void> {
    return this.#inTurn(async () => {
      const { next, released } = await this.#read();
      this.#taken.delete(address);
      await this.#write({ next, released: { ...released, [address]: this.#options.now() } });
    });
  }

  #inTurn<T>(work: () => Promise<T>): Promise<T> {
    const result = this.#turn.then(work);
    this.#turn = result.catch(() => undefined);
    return result;
  }

  async #read(): Promise<State> {
    const text = await readTextIfThere(this.#options.file);
    const value: unknown = text === undefined ? undefined : JSON.parse(text);
    return isState(value) ? value : this.#firstState();
  }

  /**
   * Gateways of one machine that have the same range begin at different places in it: of two that
   * take one address in the same moment, one would probe the other's driver.
   */
  #firstState(): State {
    const hash = createHash('sha256').update(resolve(this.#options.file)).digest();
    return { next: hash.readUInt32BE(0) % this.#addresses.length, released: {} };
  }

  #write(state: State): Promise<void> {
    return replaceFile(this.#options.file, `${JSON.stringify(state)}\n`);
  }
}

function isState(value: unknown): value is State {
  return typeof value === 'object' && value !== null && 'next' in value && 'released' in value;
}

function isFree(address: string, port: number): Promise<boolean> {
  return new Promise((answer) => {
    const server = createServer();
    server.once('error', () => answer(false));
    server.listen({ host: address, port, exclusive: true }, () => {
      server.close(() => answer(true));
    });
  });
}
