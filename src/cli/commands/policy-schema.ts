/** `policy schema`. */
import type { LocalCommand } from '../command.js';

export const policySchema: LocalCommand = {
  name: 'policy schema',
  about: 'Prints the JSON Schema of routing policies, for editors.',
  async run({ print }) {
    const { renderPolicySchema } = await import('../../policy/sources/policy-resource-schema.js');
    print(renderPolicySchema());
    return undefined;
  },
};
