/**
 * Compiles a policy while the event loop goes on: a large one is read and checked in a thread of its
 * own, and made ready here in slices. See docs/decisions/large-policies-beside-the-event-loop.md.
 */
import { Worker } from 'node:worker_threads';
import { GatewayError, reasonOf } from '../../model/errors.js';
import type { Policy } from '../../model/policy.js';
import type { PolicyOptions } from '../compile.js';
import { inSlices } from '../match.js';
import { fromGoodPolicy, checkWritten, lengthOf, type WrittenPolicy } from './good-policy.js';
import type { Task, Verdict } from './worker.js';

export interface CompiledPolicy {
  readonly policy: Policy;
  /** As a file holds it. */
  readonly text: string;
}

/** Characters up to which a policy is compiled in place: starting a thread would take longer. */
const SMALL = 8 * 1024;

/** Of what the container may take at most, the part of the thread: this process has to go on beside it. */
const SHARE = 3 / 8;
/** A document that wants more is refused. Without a limit `constrainedMemory` says 0, or more than there is. */
const maxOldGenerationSizeMb = Math.max(
  128,
  Math.min(320, Math.floor(((process.constrainedMemory() || Infinity) / 2 ** 20) * SHARE)),
);

/** Begins a thread; throws where none can be had. */
export type StartThread = (task: Task) => Worker;

const startThread: StartThread = (workerData) =>
  new Worker(new URL('worker.js', import.meta.url), {
    workerData,
    resourceLimits: { maxOldGenerationSizeMb, maxYoungGenerationSizeMb: 32 },
  });

/** Rejects with POLICY_INVALID whose message holds every mistake, one on each line, and with the signal's reason when it fires. */
export async function compileAside(
  written: WrittenPolicy,
  options: PolicyOptions,
  signal?: AbortSignal,
  start = startThread,
): Promise<CompiledPolicy> {
  signal?.throwIfAborted();
  if (lengthOf(written) <= SMALL) return checkWritten(written, options);
  const { observer: _observer, ...plain } = options;
  const verdict = await judgedAside({ written, options: plain }, signal, start);
  // Without a thread, for want of which no policy should be missed, it is compiled here.
  if (!verdict) return checkWritten(written, options);
  if ('error' in verdict) throw new GatewayError('POLICY_INVALID', verdict.error);
  const { good } = verdict;
  return { policy: await inSlices(fromGoodPolicy(good, options), signal), text: good.text };
}

/** undefined: there could be no thread, or it failed. */
async function judgedAside(
  task: Task,
  signal: AbortSignal | undefined,
  start: StartThread,
): Promise<Verdict | undefined> {
  let worker: Worker;
  try {
    worker = start(task);
  } catch {
    return undefined;
  }
  return new Promise((resolve, reject) => {
    const giveUp = () => {
      reject(signal?.reason);
      void worker.terminate();
    };
    signal?.addEventListener('abort', giveUp, { once: true });
    worker.on('message', resolve);
    worker.on('error', (error) => resolve(isOutOfMemory(error) ? TOO_LARGE : undefined));
    worker.on('exit', () => {
      signal?.removeEventListener('abort', giveUp);
      resolve(undefined);
    });
  });
}

const TOO_LARGE: Verdict = {
  error: `the policy needs more than ${maxOldGenerationSizeMb} MiB to be read: make it smaller`,
};

function isOutOfMemory(error: unknown): boolean {
  return error instanceof Error && 'code' in error && error.code === 'ERR_WORKER_OUT_OF_MEMORY';
}

// Compiles what a source of policies says, one at a time: what is overtaken by something newer is given up.

export class NewestPolicy {
  readonly #options: PolicyOptions;
  #underWay = new AbortController();

  constructor(options: PolicyOptions) {
    this.#options = options;
  }

  /** undefined: given up. Rejects with POLICY_INVALID whose message holds every mistake, one on each line. */
  async compile(written: WrittenPolicy): Promise<CompiledPolicy | undefined> {
    this.giveUp();
    const { signal } = (this.#underWay = new AbortController());
    try {
      const compiled = await compileAside(written, this.#options, signal);
      return signal.aborted ? undefined : compiled;
    } catch (error) {
      if (signal.aborted) return undefined;
      if (error instanceof GatewayError) throw error;
      throw new GatewayError(
        'INTERNAL',
        `The policy could not be compiled, which is a defect of the gateway: ${reasonOf(error)}`,
        { cause: error },
      );
    }
  }

  /** What is being compiled counts no more. */
  giveUp(): void {
    this.#underWay.abort();
  }
}
