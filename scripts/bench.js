// npm run bench:<name>: the set-up, then one benchmark. Arguments after -- go to it.
import { existsSync } from 'node:fs';
import { pathToFileURL } from 'node:url';
import { setup } from './setup.js';
import { inRoot } from './setup/paths.js';
import { printFailure, SetupError } from './setup/setup-error.js';

const [name, ...args] = process.argv.slice(2);
const program = inRoot('build/bench', name ?? '', 'run.js');
try {
  Object.assign(
    process.env,
    await setup({ client: true, kube: name === 'kube' || name === 'batch' }),
  );
  if (!name || !existsSync(program)) {
    throw new SetupError(
      `No benchmark "${name ?? ''}": it is one of audit, authz, batch, envoy, first-rpc, kube, policy, proxy, xds.`,
    );
  }
} catch (error) {
  printFailure(error);
  process.exit(1);
}
process.argv = [process.execPath, program, ...args];
await import(pathToFileURL(program).href);
