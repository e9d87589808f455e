/** Every problem of now, from all who know of one, with the time since when it is there. */
import type { Clock } from '../model/clock.js';
import {
  type FleetProblem,
  type KnownProblem,
  problemKinds,
  type ProblemKind,
  type ProblemSource,
} from '../model/fleet-problem.js';

/** More are counted by kind and not listed. */
const LONGEST_LIST = 1_000;

export class ProblemBoard {
  readonly #sources: ProblemSource[] = [];
  readonly #clock: Clock;
  #since = new Map<string, number>();

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  add(source: ProblemSource): void {
    this.#sources.push(source);
  }

  /** Looks now. The oldest first. */
  list(): readonly KnownProblem[] {
    const nowMs = this.#clock.now();
    const since = new Map<string, number>();
    const found: KnownProblem[] = [];
    for (const source of this.#sources) {
      for (const problem of source.problems()) {
        const key = keyOf(problem);
        if (since.has(key) || since.size >= LONGEST_LIST) continue;
        const sinceMs = this.#since.get(key) ?? nowMs;
        since.set(key, sinceMs);
        found.push({ ...problem, sinceMs });
      }
    }
    this.#since = since;
    return found.toSorted((a, b) => a.sinceMs - b.sinceMs);
  }

  /** How many there are now of each kind, zeros included. */
  counts(): ReadonlyMap<ProblemKind, number> {
    const counts = new Map<ProblemKind, number>(problemKinds.map((kind) => [kind, 0]));
    for (const source of this.#sources) {
      for (const { kind } of source.problems()) counts.set(kind, (counts.get(kind) ?? 0) + 1);
    }
    return counts;
  }
}

/** Without an object, the text tells problems of a kind apart. */
function keyOf({ kind, object, message }: FleetProblem): string {
  const what = object
    ? [object.cluster, object.kind, object.namespace, object.name, object.uid]
    : [message];
  return JSON.stringify([kind, ...what]);
}
