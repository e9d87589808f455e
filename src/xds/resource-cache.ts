/** What each view is to be sent. Storage only: it knows of no stream and no protocol. */
import {
  type EncodedResource,
  isFullState,
  type ResourceName,
  StateVersion,
  type TypeUrl,
} from './resource.js';

export interface ResourceUpdate {
  readonly upserts?: Iterable<EncodedResource>;
  readonly removes?: Iterable<ResourceName>;
}

export interface ResourceChange extends ResourceName {
  readonly before: EncodedResource | undefined;
  readonly after: EncodedResource | undefined;
}

/** What one update really changed; never empty. */
export interface ViewChange {
  readonly view: string;
  readonly revision: number;
  readonly changes: readonly ResourceChange[];
}

interface TypeState {
  readonly resources: Map<string, EncodedResource>;
  readonly version: StateVersion;
  /** The newest updates of a type whose state is sent whole, the oldest first. */
  readonly past: PastUpdate[];
}

interface PastUpdate {
  /** The state's version before it. */
  readonly version: string;
  readonly changes: readonly ResourceChange[];
}

/** Changes that are remembered of a type. */
const MAX_PAST_CHANGES = 4_096;

const NO_RESOURCES: ReadonlyMap<string, EncodedResource> = new Map();
const EMPTY_VERSION = new StateVersion().toString();

export class ResourceCache {
  #revision = 0;
  readonly #views = new Map<string, Map<TypeUrl, TypeState>>();
  readonly #listeners = new Set<(change: ViewChange) => void>();

  /** Grows by one with each update that changes something, in whatever view. Starts again with the process. */
  get revision(): number {
    return this.#revision;
  }

  /** The resources of one type, by name. A live view: do not keep it over a change. */
  resources(view: string, typeUrl: TypeUrl): ReadonlyMap<string, EncodedResource> {
    return this.#views.get(view)?.get(typeUrl)?.resources ?? NO_RESOURCES;
  }

  get(view: string, typeUrl: TypeUrl, name: string): EncodedResource | undefined {
    return this.#views.get(view)?.get(typeUrl)?.resources.get(name);
  }

  /** Hash of all resources of one type in a view. */
  version(view: string, typeUrl: TypeUrl): string {
    return this.#views.get(view)?.get(typeUrl)?.version.toString() ?? EMPTY_VERSION;
  }

  /**
   * What has been changed or removed since the state of a Listener or Cluster type had this version, as
   * it was then. Empty when that is longer ago than is remembered.
   */
  heldAt(view: string, typeUrl: TypeUrl, version: string): readonly EncodedResource[] {
    const past = this.#views.get(view)?.get(typeUrl)?.past ?? [];
    const from = past.findLastIndex((update) => update.version === version);
    if (from < 0) return [];
    const first = new Map<string, EncodedResource | undefined>();
    for (const { changes } of past.slice(from)) {
      for (const { name, before } of changes) if (!first.has(name)) first.set(name, before);
    }
    return [...first.values()].filter((before) => before !== undefined);
  }

  /**
   * Changes some resources of a view at once; streams see all of it or nothing. Costs as much as the
   * update is long. What has the same content as before is no change.
   * @returns the revision at which the view is as asked; streams that acknowledged it have it.
   */
  update(view: string, { upserts = [], removes = [] }: ResourceUpdate): number {
    const types = this.#views.get(view) ?? new Map<TypeUrl, TypeState>();
    this.#views.set(view, types);
    const changes: ResourceChange[] = [];
    const versions = new Map(
      [...types].map(([typeUrl, { version }]) => [typeUrl, version.toString()]),
    );
    for (const after of upserts) {
      const { typeUrl, name } = after;
      const state = typeState(types, typeUrl);
      const before = state.resources.get(name);
      if (before?.version === after.version) continue;
      if (before) state.version.remove(before);
      state.version.add(after);
      state.resources.set(name, after);
      changes.push({ typeUrl, name, before, after });
    }
    for (const { typeUrl, name } of removes) {
      const state = types.get(typeUrl);
      const before = state?.resources.get(name);
      if (!state || !before) continue;
      state.version.remove(before);
      state.resources.delete(name);
      changes.push({ typeUrl, name, before, after: undefined });
    }
    if (changes.length === 0) return this.#revision;
    this.#revision += 1;
    for (const [typeUrl, { past }] of types) {
      if (isFullState(typeUrl))
        remember(past, versions.get(typeUrl) ?? EMPTY_VERSION, changes, typeUrl);
    }
    const change = { view, revision: this.#revision, changes };
    for (const listener of this.#listeners) listener(change);
    return this.#revision;
  }

  /** Calls `listener` within each update. Returns a function that ends it. */
  onChange(listener: (change: ViewChange) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }
}

function remember(
  past: PastUpdate[],
  version: string,
  all: readonly ResourceChange[],
  typeUrl: TypeUrl,
): void {
  const changes = all.filter((change) => change.typeUrl === typeUrl);
  if (changes.length === 0) return;
  past.push({ version, changes });
  let size = past.reduce((sum, update) => sum + update.changes.length, 0);
  while (size > MAX_PAST_CHANGES) size -= past.shift()?.changes.length ?? size;
}

function typeState(types: Map<TypeUrl, TypeState>, typeUrl: TypeUrl): TypeState {
  let state = types.get(typeUrl);
  if (!state) {
    state = { resources: new Map(), version: new StateVersion(), past: [] };
    types.set(typeUrl, state);
  }
  return state;
}
