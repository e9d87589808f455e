/** The policies that were in force since this process began. */
import type { PolicyRevision } from '../model/reports.js';

const KEPT = 20;

export class PolicyHistory {
  #revisions: readonly PolicyRevision[] = [];

  /** To be called with what is in force; the same revision again changes nothing. */
  note({ version, loadedAtMs, text }: PolicyRevision): void {
    if (this.#revisions[0]?.version === version) return;
    this.#revisions = [{ version, loadedAtMs, text }, ...this.#revisions].slice(0, KEPT);
  }

  /** Newest first. */
  get revisions(): readonly PolicyRevision[] {
    return this.#revisions;
  }
}
