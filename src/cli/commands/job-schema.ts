/** `job schema`. */
import { renderManifestSchema } from '../../manifest/json-schema.js';
import type { LocalCommand } from '../command.js';

export const jobSchema: LocalCommand = {
  name: 'job schema',
  about: 'Prints the JSON Schema of manifests of batch jobs, for editors.',
  run({ print }) {
    print(renderManifestSchema());
    return Promise.resolve(undefined);
  },
};
