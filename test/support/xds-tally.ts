/** Adds up what a hub tells of its responses, by type. */
import type { XdsMetrics } from '../../src/xds/xds-metrics.js';
import type { TypeUrl } from '../../src/xds/resource.js';

export interface TypeTally {
  readonly pushes: number;
  readonly acks: number;
  readonly nacks: number;
  /** From each push to its ACK, summed up. */
  readonly ackMs: number;
}

const NOTHING: TypeTally = { pushes: 0, acks: 0, nacks: 0, ackMs: 0 };

export class XdsTally implements XdsMetrics {
  readonly #types = new Map<TypeUrl, TypeTally>();

  of(typeUrl: TypeUrl): TypeTally {
    return this.#types.get(typeUrl) ?? NOTHING;
  }

  pushed(typeUrl: TypeUrl): void {
    const tally = this.of(typeUrl);
    this.#types.set(typeUrl, { ...tally, pushes: tally.pushes + 1 });
  }

  acknowledged(typeUrl: TypeUrl, afterMs: number): void {
    const tally = this.of(typeUrl);
    this.#types.set(typeUrl, { ...tally, acks: tally.acks + 1, ackMs: tally.ackMs + afterMs });
  }

  rejected(typeUrl: TypeUrl): void {
    const tally = this.of(typeUrl);
    this.#types.set(typeUrl, { ...tally, nacks: tally.nacks + 1 });
  }
}
