// npm start: the set-up, then the whole gateway on this machine. Arguments go to `spark-gateway start`.
import { pathToFileURL } from 'node:url';
import { setup } from './setup.js';
import { inRoot } from './setup/paths.js';
import { printFailure } from './setup/setup-error.js';

try {
  Object.assign(process.env, await setup());
} catch (error) {
  printFailure(error);
  process.exit(1);
}

// npm ends at SIGTERM without passing it on. Nobody could stop what it leaves behind.
if (process.env.npm_lifecycle_event) {
  const npm = process.ppid;
  const watch = setInterval(() => {
    if (process.ppid === npm) return;
    clearInterval(watch);
    process.kill(process.pid, 'SIGTERM');
  }, 500);
  watch.unref();
}

// The gateway takes this process over, so that signals and the exit code are its own.
const main = inRoot('build/src/main.js');
process.setSourceMapsEnabled(true);
process.argv = [process.execPath, main, 'start', ...process.argv.slice(2)];
await import(pathToFileURL(main).href);
