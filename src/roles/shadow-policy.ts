/** The policy that is tried out beside the one in force. */
import type { Logger } from 'pino';
import type { Clock, Timer } from '../model/clock.js';
import { toGatewayError } from '../model/errors.js';
import type { Policy } from '../model/policy.js';
import type { PolicyOptions } from '../policy/compile.js';
import { PolicyFile } from '../policy/policy-file.js';

export interface ShadowPolicy {
  /** undefined: there is none, or its file has not been good so far. */
  current(): Policy | undefined;
  /** undefined: none is named. */
  status(): ShadowPolicyStatus | undefined;
  close(): void;
}

export interface ShadowPolicyStatus {
  /** Of the one that is tried out; undefined: there is none. */
  readonly version: string | undefined;
  /** Why what the file says last is not tried out: every mistake, one on each line. */
  readonly problem: string | undefined;
}

interface Options {
  readonly compile: PolicyOptions;
  readonly clock: Clock;
  readonly logger: Logger;
}

const LOOK_AGAIN_MS = 5000;

/** A file that is missing or has a mistake is looked at again later: trying out stops nothing. */
export function openShadowPolicy(path: string | undefined, options: Options): ShadowPolicy {
  let file: PolicyFile | undefined;
  let timer: Timer | undefined;
  let told: string | undefined;
  let closed = false;
  const { clock } = options;
  const logger = options.logger.child({ policy: 'shadow' });

  async function open(from: string): Promise<void> {
    try {
      const opened = await PolicyFile.open(from, { ...options, logger });
      if (closed) opened.close();
      else file = opened;
    } catch (thrown) {
      const { message: error } = toGatewayError(thrown);
      if (error !== told)
        logger.error({ error }, 'the shadow policy is not good; it is not tried out');
      told = error;
      if (!closed) timer = clock.setTimer(LOOK_AGAIN_MS, () => void open(from));
    }
  }
  if (path !== undefined) void open(path);
  return {
    current: () => file?.current,
    status() {
      if (path === undefined) return undefined;
      return file
        ? { version: file.status.version, problem: file.status.error }
        : { version: undefined, problem: told };
    },
    close() {
      closed = true;
      timer?.cancel();
      file?.close();
    },
  };
}
