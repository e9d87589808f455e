/**
 * Copies of one kind of objects in several scopes, which may be readable or not each for itself: a
 * namespace whose RoleBinding is missing must not keep the others from being served.
 */
import type { Logger } from 'pino';
import type { Clock } from '../../model/clock.js';
import type { FleetProblem } from '../../model/fleet-problem.js';
import type { KubernetesApi } from './kubernetes-api.js';
import { type Change, Reflector } from './reflector.js';
import { covers, type Scope, type KubernetesObject } from './objects.js';

export interface ScopedCopiesOptions<T> {
  readonly api: Pick<KubernetesApi, 'request' | 'watch'>;
  readonly scopes: readonly Scope[];
  readonly labelSelector?: string;
  readonly keep: (object: KubernetesObject) => T | undefined;
  /** As a reflector's. */
  readonly optional?: boolean;
  readonly clock: Clock;
  readonly logger: Logger;
  /** As a reflector's. */
  readonly onChange: (change?: Change<T>) => void;
}

export interface ScopeCopy<T> {
  readonly scope: Scope;
  readonly reflector: Reflector<T>;
  /** The epoch under which it was last asked for afresh. */
  askedAt: number | undefined;
  /** Since when it is not kept up to date. */
  brokenSinceMs: number | undefined;
}

export class ScopedCopies<T> {
  readonly #copies: readonly ScopeCopy<T>[];
  readonly #clock: Clock;

  constructor(options: ScopedCopiesOptions<T>) {
    const { scopes, onChange, clock, ...rest } = options;
    this.#clock = clock;
    this.#copies = scopes.map((scope): ScopeCopy<T> => {
      const copy: ScopeCopy<T> = {
        scope,
        reflector: new Reflector<T>({
          ...rest,
          clock,
          path: scope.path,
          onChange: (change) => {
            this.#note(copy);
            onChange(change);
          },
        }),
        askedAt: undefined,
        brokenSinceMs: undefined,
      };
      return copy;
    });
  }

  start(): void {
    for (const copy of this.#copies) {
      this.#note(copy);
      copy.reflector.start();
    }
  }

  async stop(): Promise<void> {
    await Promise.all(this.#copies.map(({ reflector }) => reflector.stop()));
  }

  /** Reads every scope again. Resolves when each was read, or could not be. */
  async readAll(): Promise<void> {
    await Promise.all(this.#copies.map(({ reflector }) => reflector.refresh().catch(() => {})));
  }

  /**
   * Reads every scope again that was not asked for under this epoch: a new leader does not build on
   * what was seen before. Each is waited for once, success or failure: one that fails is in doubt
   * until its reflector, which goes on trying, has listed it.
   */
  async readFor(epoch: number | undefined): Promise<void> {
    if (epoch === undefined) return;
    const stale = this.#copies.filter(({ askedAt }) => askedAt !== epoch);
    for (const copy of stale) copy.askedAt = epoch;
    await Promise.all(stale.map(({ reflector }) => reflector.refresh().catch(() => {})));
  }

  *values(): Generator<T, void> {
    for (const { reflector } of this.#copies) yield* reflector.values();
  }

  copies(): readonly ScopeCopy<T>[] {
    return this.#copies;
  }

  has(uid: string): boolean {
    return this.#copies.some(({ reflector }) => reflector.get(uid) !== undefined);
  }

  /** Whether what exists in this namespace cannot be told for sure now, for a leader of this epoch or a follower. */
  inDoubt(namespace: string, epoch: number | undefined): boolean {
    return this.#copies.some((copy) => covers(copy.scope, namespace) && !isCurrent(copy, epoch));
  }

  /** One for each scope that cannot be read. `where`: what to say in front of the path. */
  problems(where: string): FleetProblem[] {
    return this.#copies.flatMap(({ scope, reflector }): FleetProblem[] =>
      reflector.problem === undefined
        ? []
        : [
            {
              kind: 'unreadable',
              message: `${where}${scope.path} cannot be read: ${reflector.problem}`,
            },
          ],
    );
  }

  #note(copy: ScopeCopy<T>): void {
    if (copy.reflector.problem === undefined) copy.brokenSinceMs = undefined;
    else copy.brokenSinceMs ??= this.#clock.now();
  }
}

interface CopyState {
  readonly reflector: Pick<Reflector<unknown>, 'problem' | 'isFresh'>;
  readonly askedAt: number | undefined;
}

/** Whether the copy shows what there is. */
export function isCurrent({ reflector, askedAt }: CopyState, epoch: number | undefined): boolean {
  if (epoch === undefined) return reflector.problem === undefined;
  return askedAt === epoch && reflector.isFresh;
}
