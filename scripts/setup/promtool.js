// promtool for the tests of the alerts: PROMTOOL, or built from its published Go module once.
import { accessSync, constants, existsSync, mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { buildGo, checkGo } from './go.js';
import { inRoot, local } from './paths.js';
import { SetupError } from './setup-error.js';
import { contentHash, stampFits, writeStamp } from './stamp.js';

const module = inRoot('test/monitoring/promtool');
const folder = join(local, 'promtool/bin');
const program = join(folder, 'promtool');
const stamp = join(folder, '.setup-stamp');
const hash = () =>
  contentHash({
    texts: [process.platform, process.arch],
    files: ['go.mod', 'go.sum'].map((name) => join(module, name)),
  });

export const promtoolStep = {
  label: 'promtool from its Go module (3 minutes and more, once)',
  bytes: 4e9,
  needed: () => !process.env.PROMTOOL && (!stampFits(stamp, hash()) || !existsSync(program)),
  async run() {
    checkGo('promtool', 'PROMTOOL to a promtool');
    mkdirSync(folder, { recursive: true });
    const target = 'github.com/prometheus/prometheus/cmd/promtool';
    await buildGo('promtool', { module, target, output: program });
    writeStamp(stamp, hash());
  },
};

/**
 * The program to use.
 * @throws SetupError when PROMTOOL is set to something else than a program
 */
export function promtool(env = process.env) {
  const found = env.PROMTOOL || program;
  try {
    accessSync(found, constants.X_OK);
  } catch {
    throw new SetupError(
      `PROMTOOL=${found} is not a program: correct it, or unset it to build one.`,
    );
  }
  return found;
}
