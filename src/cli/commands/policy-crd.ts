/** `policy crd`. */
import type { LocalCommand } from '../command.js';

export const policyCrd: LocalCommand = {
  name: 'policy crd',
  about: 'Prints the CustomResourceDefinition of routing policies, for Kubernetes.',
  async run({ print }) {
    const { renderPolicyCrd } = await import('../../policy/sources/policy-resource-schema.js');
    print(renderPolicyCrd());
    return undefined;
  },
};
