/** `policy validate`. */
import { readFile } from 'node:fs/promises';
import { GatewayError } from '../../model/errors.js';
import { compilePolicy } from '../../policy/compile.js';
import { policyOptions } from '../../settings/policy-options.js';
import type { Invocation, LocalCommand } from '../command.js';

export const policyValidate: LocalCommand = {
  name: 'policy validate',
  about: 'Checks routing policies, together with the settings, and says every mistake.',
  operands: '<file>...',
  settingsOf: 'authz',
  run: validate,
};

/** Prints a line for each file that is good with these settings. Rejects with POLICY_INVALID that holds every mistake of the others. */
async function validate({ operands, print, settings }: Invocation): Promise<undefined> {
  const options = policyOptions(await settings());
  const problems: string[] = [];
  for (const file of operands) {
    try {
      const { version } = compilePolicy(await readFile(file, 'utf8'), file, options);
      print(`${file}: good, version ${version}\n`);
    } catch (thrown) {
      problems.push(thrown instanceof GatewayError ? thrown.message : `${file}: ${String(thrown)}`);
    }
  }
  if (problems.length > 0) throw new GatewayError('POLICY_INVALID', problems.join('\n'));
}
