/** Compiles what a source of policies says, one at a time: what is overtaken by something newer is given up. */
import { GatewayError, reasonOf } from '../../model/errors.js';
import type { PolicyOptions } from '../compile.js';
import { compileAside, type CompiledPolicy } from './compile-aside.js';
import type { WrittenPolicy } from './written-policy.js';

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
