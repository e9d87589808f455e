/** A thread of its own that checks one policy and tells what it found. */
import { parentPort, workerData } from 'node:worker_threads';
import { toGatewayError } from '../../model/errors.js';
import type { PolicyOptions } from '../compile.js';
import { type GoodPolicy, toGoodPolicy, checkWritten, type WrittenPolicy } from './good-policy.js';

export interface Task {
  readonly written: WrittenPolicy;
  readonly options: PolicyOptions;
}

/** `error`: every mistake, one on each line. */
export type Verdict = { readonly good: GoodPolicy } | { readonly error: string };

function verdictOn({ written, options }: Task): Verdict {
  try {
    return { good: toGoodPolicy(checkWritten(written, options)) };
  } catch (thrown) {
    const error = toGatewayError(thrown);
    if (error.code !== 'POLICY_INVALID') throw thrown;
    return { error: error.message };
  }
}

// oxlint-disable-next-line typescript/no-unsafe-type-assertion -- given by compileAside
const task = workerData as Task;
// oxlint-disable-next-line unicorn/require-post-message-target-origin -- a thread, not a window
parentPort?.postMessage(verdictOn(task));
