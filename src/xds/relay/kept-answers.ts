/**
 * Answers one Envoy from a kept configuration while no control plane does. It only fills in: what
 * Envoy says that it has is newer than, or the same as, what was kept, and is never replaced or removed.
 */
import { delta } from '../delta.js';
import { isTypeUrl, type TypeUrl } from '../resource.js';
import { Subscription } from '../subscription.js';
import type { Snapshot } from './snapshot.js';

interface OfType {
  readonly subscription: Subscription;
  /** Names that Envoy had when the stream began. */
  readonly known: ReadonlyMap<string, string>;
}

export class KeptAnswers {
  readonly #snapshot: Snapshot;
  readonly #types = new Map<TypeUrl, OfType>();
  #nonce = 0;

  constructor(snapshot: Snapshot) {
    this.#snapshot = snapshot;
  }

  /**
   * The answer to a request; undefined when it asks for nothing.
   * @throws RangeError when the bytes are no request.
   */
  answer(bytes: Buffer): Buffer | undefined {
    const { typeUrl, names, known } = delta.decode(bytes);
    if (!isTypeUrl(typeUrl) || names.kind !== 'changes' || known.kind !== 'each') return undefined;
    const type = this.#types.get(typeUrl) ?? {
      subscription: new Subscription(typeUrl),
      known: known.versions,
    };
    this.#types.set(typeUrl, type);
    const change = type.subscription.modify(names.subscribe, names.unsubscribe);
    const kept = this.#snapshot.get(typeUrl) ?? new Map<string, never>();
    const asked = new Set(change.asked);
    if (change.wildcardAsked) for (const name of kept.keys()) asked.add(name);
    const wanted = [...asked].filter((name) => !type.known.has(name));
    // A new client waits for an answer even if there is nothing to send.
    const due = change.wildcardAsked && type.known.size === 0;
    if (wanted.length === 0 && !due) return undefined;
    return delta.encode({
      typeUrl,
      version: 'kept',
      nonce: String(++this.#nonce),
      resources: wanted.flatMap((name) => kept.get(name)?.field ?? []),
      removed: wanted.filter((name) => !kept.has(name)),
    });
  }
}
