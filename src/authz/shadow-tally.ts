/** How often what is tried out would have decided otherwise, and the newest examples, for operators. */
import type { Clock } from '../model/clock.js';
import { principalKey } from '../model/principal.js';
import type { ShadowCount, ShadowExample, ShadowKind } from '../model/reports.js';

const MOST_EXAMPLES = 10;
const LONGEST_MESSAGE = 500;

type Source = ShadowKind['source'];

export class ShadowTally {
  readonly #clock: Clock;
  readonly #counts = new Map<string, { readonly kind: ShadowKind; count: number }>();
  /** Each once, the newest last. */
  readonly #examples = new Map<string, ShadowExample>();
  readonly #versions = new Map<Source, string>();

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** What a source decides from here on is of this version: what an earlier one did is forgotten. */
  decides(source: Source, version: string | undefined): void {
    if (version === undefined || this.#versions.get(source) === version) return;
    this.#versions.set(source, version);
    for (const [key, { kind }] of this.#counts)
      if (kind.source === source) this.#counts.delete(key);
    for (const [key, example] of this.#examples) {
      if (example.source === source) this.#examples.delete(key);
    }
  }

  count({ source, would, code }: ShadowKind): void {
    const key = `${source} ${would} ${code}`;
    const known = this.#counts.get(key);
    if (known) known.count++;
    else this.#counts.set(key, { kind: { source, would, code }, count: 1 });
  }

  example(example: Omit<ShadowExample, 'atMs'>): void {
    const { source, would, code, by, principal, message } = example;
    const key = [source, would, code, by, principalKey(principal)].join('\0');
    this.#examples.delete(key);
    this.#examples.set(key, {
      ...example,
      message: message.slice(0, LONGEST_MESSAGE),
      atMs: this.#clock.now(),
    });
    for (const oldest of this.#examples.keys()) {
      if (this.#examples.size <= MOST_EXAMPLES) break;
      this.#examples.delete(oldest);
    }
  }

  get counts(): readonly ShadowCount[] {
    return Array.from(this.#counts.values(), ({ kind, count }) => ({ ...kind, count }));
  }

  /** The newest first. */
  get examples(): readonly ShadowExample[] {
    return [...this.#examples.values()].toReversed();
  }
}
