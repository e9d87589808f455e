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
  close(): void;
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
    close() {
      closed = true;
      timer?.cancel();
      file?.close();
    },
  };
}
