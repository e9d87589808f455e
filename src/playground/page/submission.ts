/** From what the page shows to what is submitted. */
import type { ChoicesView, SubmitBody } from '../../model/playground-api.js';
import type { Draft } from './keeping.js';

/** Whether SQL may not write and sinks go to the job's own folder. */
export function sandboxOf(draft: Draft, choices: ChoicesView): boolean {
  return draft.sandbox ?? choices.sandbox_environments.includes(draft.environment);
}

export function submissionOf(draft: Draft, choices: ChoicesView): SubmitBody {
  const { manifest, environment, sampling = '', ttlSeconds = '' } = draft;
  return {
    manifest,
    environment,
    options: {
      sandbox_mode: String(sandboxOf(draft, choices)),
      ...(sampling === '' ? {} : { data_sampling: sampling }),
      ...(ttlSeconds === '' ? {} : { ttl_seconds: ttlSeconds }),
    },
  };
}

/**
 * Keys for the header Idempotency-Key. A submission that had no clear answer has the same key when it
 * is tried again, so that it does not run twice.
 */
export class SubmissionKeys {
  #key = '';
  #open: string | undefined;

  keyFor(body: SubmitBody): string {
    const text = JSON.stringify(body);
    if (text !== this.#open) {
      this.#open = text;
      this.#key = randomKey();
    }
    return this.#key;
  }

  /** The answer was clear: the next one is another submission, be it equal. */
  answered(): void {
    this.#open = undefined;
  }
}

/** randomUUID is there in secure contexts only, and a Playground may be reached by http. */
function randomKey(): string {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  return `page-${Array.from(bytes, (byte) => byte.toString(16).padStart(2, '0')).join('')}`;
}
