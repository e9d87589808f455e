/** `policy validate`. */
import { readFile } from 'node:fs/promises';
import { GatewayError } from '../model/errors.js';
import { compilePolicy } from '../policy/compile.js';
import { policyOptions } from '../settings/for-policy.js';
import type { Settings } from '../settings/table.js';

/** Prints a line for each file that is good with these settings. Rejects with POLICY_INVALID that holds every mistake of the others. */
export async function validatePolicies(
  files: readonly string[],
  settings: Settings,
): Promise<void> {
  const options = policyOptions(settings);
  const problems: string[] = [];
  for (const file of files) {
    try {
      const { version } = compilePolicy(await readFile(file, 'utf8'), file, options);
      process.stdout.write(`${file}: good, version ${version}\n`);
    } catch (thrown) {
      problems.push(thrown instanceof GatewayError ? thrown.message : `${file}: ${String(thrown)}`);
    }
  }
  if (problems.length > 0) {
    throw new GatewayError('POLICY_INVALID', problems.join('\n'));
  }
}
