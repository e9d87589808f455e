/** The streams of one connection: which are open, which were, and which this side gave up. */
import type { ServerStream } from './server-stream.js';

/** Abandoned streams that are remembered: more than a peer has frames on their way to. */
const MAX_ABANDONED = 100;

export class StreamTable {
  readonly #streams = new Map<number, ServerStream>();
  readonly #abandoned: number[] = [];
  #lastId = 0;

  /** The newest one that the peer has opened; 0 for none. */
  get lastId(): number {
    return this.#lastId;
  }

  /** How many are open. */
  get size(): number {
    return this.#streams.size;
  }

  open(): Iterable<ServerStream> {
    return this.#streams.values();
  }

  get(id: number): ServerStream | undefined {
    return this.#streams.get(id);
  }

  /** A new id passes over all smaller ones: they count as opened (RFC 9113, section 5.1.1). */
  wasOpened(id: number): boolean {
    return id <= this.#lastId;
  }

  add(stream: ServerStream): void {
    this.#lastId = stream.id;
    this.#streams.set(stream.id, stream);
  }

  remove(id: number): void {
    this.#streams.delete(id);
  }

  /** Remembers that this side ended the stream early: frames may still be on their way to it. */
  abandon(id: number): void {
    this.#abandoned.push(id);
    if (this.#abandoned.length > MAX_ABANDONED) this.#abandoned.shift();
  }

  isAbandoned(id: number): boolean {
    return this.#abandoned.includes(id);
  }
}
