/** Rows with revisions, so that each reader is sent what has changed since it was last sent something. */

/** JSON of what has changed: `{changed: rows, removed: keys}`, or of all: `{all: rows}`. */
export type TableChange = string;

interface Row {
  readonly json: string;
  readonly revision: number;
}

/** Removed rows that are remembered; a reader that lags behind further is sent all rows. */
const MAX_REMOVED = 10_000;

export class LiveTable<T> {
  readonly #keyOf: (row: T) => string;
  readonly #rows = new Map<string, Row>();
  readonly #removed = new Map<string, number>();
  #forgottenUpTo = 0;
  #changedAt = 0;

  constructor(keyOf: (row: T) => string) {
    this.#keyOf = keyOf;
  }

  /** Takes the place of all rows. Each row that differs gets the revision, which must be greater than those before. */
  replace(rows: readonly T[], revision: number): void {
    const gone = new Set(this.#rows.keys());
    for (const row of rows) {
      const key = this.#keyOf(row);
      const json = JSON.stringify(row);
      gone.delete(key);
      if (this.#rows.get(key)?.json === json) continue;
      this.#rows.set(key, { json, revision });
      this.#removed.delete(key);
      this.#changedAt = revision;
    }
    for (const key of gone) {
      this.#rows.delete(key);
      this.#removed.set(key, revision);
      this.#changedAt = revision;
    }
    for (const [key, removedAt] of this.#removed) {
      if (this.#removed.size <= MAX_REMOVED) break;
      this.#removed.delete(key);
      this.#forgottenUpTo = Math.max(this.#forgottenUpTo, removedAt);
    }
  }

  /** JSON of all rows. */
  all(): string {
    return `[${[...this.#rows.values()].map(({ json }) => json).join(',')}]`;
  }

  /** What has changed after the revision; undefined: nothing. */
  since(revision: number): TableChange | undefined {
    if (this.#changedAt <= revision) return undefined;
    if (revision < this.#forgottenUpTo) return `{"all":${this.all()}}`;
    const changed = [...this.#rows.values()].filter((row) => row.revision > revision);
    const removed = [...this.#removed].filter(([, removedAt]) => removedAt > revision);
    const rows = changed.map(({ json }) => json).join(',');
    return `{"changed":[${rows}],"removed":${JSON.stringify(removed.map(([key]) => key))}}`;
  }
}
