/** What this browser keeps for a person: the draft, and the manifests of their last jobs. */

export interface Draft {
  readonly manifest: string;
  readonly environment: string;
  /** undefined: as the environment has it. */
  readonly sandbox?: boolean;
  readonly sampling?: string;
  readonly ttlSeconds?: string;
}

export interface KeptRun {
  readonly job: string;
  readonly manifest: string;
}

/** As localStorage has it; writing may fail when it is full or not allowed. */
export interface TextStore {
  getItem(key: string): string | null;
  setItem(key: string, value: string): void;
}

const MOST_RUNS = 20;
/** UTF-16 code units; browsers keep some 5 million for each origin. */
const MOST_CHARACTERS = 1_500_000;

export class Keeping {
  readonly #store: TextStore;
  readonly #user: string;
  /** What was read last, which may be large and is asked for often. */
  #lastRuns: { readonly text: string | null; readonly runs: readonly KeptRun[] } | undefined;

  /** @param user tells people apart who use the same browser */
  constructor(store: TextStore, user: string) {
    this.#store = store;
    this.#user = user;
  }

  draft(): Draft | undefined {
    const read = parsed(this.#store.getItem(this.#key('draft')));
    if (typeof read !== 'object' || read === null || Array.isArray(read)) return undefined;
    const { manifest, environment, sandbox, sampling, ttlSeconds } = read as Partial<Draft>;
    if (typeof manifest !== 'string') return undefined;
    return {
      manifest,
      environment: typeof environment === 'string' ? environment : '',
      ...(typeof sandbox === 'boolean' ? { sandbox } : {}),
      ...(typeof sampling === 'string' ? { sampling } : {}),
      ...(typeof ttlSeconds === 'string' ? { ttlSeconds } : {}),
    };
  }

  keepDraft(draft: Draft): void {
    this.#write('draft', draft);
  }

  /** What a job was started with; undefined: by another browser, or long ago. */
  manifestOf(job: string): string | undefined {
    return this.#runs().find((run) => run.job === job)?.manifest;
  }

  keepRun(run: KeptRun): void {
    const runs = [run, ...this.#runs().filter(({ job }) => job !== run.job)].slice(0, MOST_RUNS);
    let characters = 0;
    this.#write(
      'runs',
      runs.filter(({ manifest }) => (characters += manifest.length) <= MOST_CHARACTERS),
    );
  }

  #runs(): readonly KeptRun[] {
    const text = this.#store.getItem(this.#key('runs'));
    if (text === this.#lastRuns?.text) return this.#lastRuns.runs;
    const read = parsed(text);
    const runs = Array.isArray(read)
      ? read.filter(
          (run: Partial<KeptRun> | null): run is KeptRun =>
            typeof run?.job === 'string' && typeof run.manifest === 'string',
        )
      : [];
    this.#lastRuns = { text, runs };
    return runs;
  }

  #write(name: string, value: unknown): void {
    try {
      this.#store.setItem(this.#key(name), JSON.stringify(value));
    } catch {
      // Full, or not allowed: what is on the screen is not lost by it.
    }
  }

  #key(name: string): string {
    return `playground ${name} of ${this.#user}`;
  }
}

function parsed(text: string | null): unknown {
  try {
    return JSON.parse(text ?? 'null');
  } catch {
    return undefined;
  }
}
