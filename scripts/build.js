// npm run build: what the code needs, nothing that it runs.
// Usage: node scripts/build.js [--packages-only]
//   --packages-only   installs the npm packages and no more (a layer of the image of its own)
import { setup } from './setup.js';
import { packages } from './setup/node-steps.js';
import { printFailure } from './setup/setup-error.js';

try {
  if (process.argv.includes('--packages-only')) await packages.run();
  else await setup({ run: false });
} catch (error) {
  printFailure(error);
  process.exitCode = 1;
}
