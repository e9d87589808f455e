/** Plain counters, for whoever exports metrics. */
import type { TypeUrl } from './resource.js';

/** Since the start of the process. */
export interface TypeCounters {
  readonly pushes: number;
  readonly bytes: number;
  readonly acks: number;
  readonly nacks: number;
  /** From each push to its ACK, summed up. */
  readonly ackMs: number;
}

type Mutable<T> = { -readonly [K in keyof T]: T[K] };

export class XdsCounters {
  readonly #types = new Map<TypeUrl, Mutable<TypeCounters>>();

  /** By type, for the types that have been asked for. */
  get byType(): ReadonlyMap<TypeUrl, TypeCounters> {
    return this.#types;
  }

  pushed(typeUrl: TypeUrl, bytes: number): void {
    const counters = this.#of(typeUrl);
    counters.pushes += 1;
    counters.bytes += bytes;
  }

  acknowledged(typeUrl: TypeUrl, afterMs: number): void {
    const counters = this.#of(typeUrl);
    counters.acks += 1;
    counters.ackMs += afterMs;
  }

  rejected(typeUrl: TypeUrl): void {
    this.#of(typeUrl).nacks += 1;
  }

  #of(typeUrl: TypeUrl): Mutable<TypeCounters> {
    let counters = this.#types.get(typeUrl);
    if (!counters) {
      counters = { pushes: 0, bytes: 0, acks: 0, nacks: 0, ackMs: 0 };
      this.#types.set(typeUrl, counters);
    }
    return counters;
  }
}
