// npm run build: what the code needs, nothing that it runs.
import { setup } from './setup.js';
import { printFailure } from './setup/setup-error.js';

try {
  await setup({ run: false });
} catch (error) {
  printFailure(error);
  process.exitCode = 1;
}
