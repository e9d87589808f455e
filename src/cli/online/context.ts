/** What an online command works with. */
import type { AdminClient } from './client.js';
import type { Shown } from '../render/shown.js';

export interface OnlineContext {
  readonly client: Pick<AdminClient, 'get' | 'post'>;
  readonly operands: readonly string[];
  readonly options: ReadonlyMap<string, string>;
  /** Wall time, milliseconds since the epoch. */
  now(): number;
  /** Resolves after a moment; rejects when the command is to end. */
  pause(ms: number): Promise<void>;
  /** Tells people what is going on, apart from the answer. */
  say(text: string): void;
}

export type OnlineCommand = (context: OnlineContext) => Promise<Shown>;

/** The options of these names that are there, as a query. */
export function queryOf(
  { options }: OnlineContext,
  names: readonly string[],
): Record<string, string> {
  return Object.fromEntries(
    names.flatMap((name) => {
      const value = options.get(name);
      return value === undefined ? [] : [[name, value]];
    }),
  );
}
