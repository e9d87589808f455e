// Class archives of the Sparks that tests start (test/support/class-archives.ts): made once, each by a
// driver that starts, is used and ends.
import { mkdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { inRoot, local } from './paths.js';
import { runLogged } from './run-logged.js';
import { contentHash, stampFits, treeHash, writeStamp } from './stamp.js';

const folder = join(local, 'class-archives');

/**
 * @param {string} version '4' or '3.5'
 * @param {() => Record<string, string>} env names Spark and Java
 */
export function classArchive(version, env) {
  const stamp = join(folder, `${version}.setup-stamp`);
  const hash = () =>
    contentHash({
      texts: [JSON.stringify(env()), treeHash([inRoot('build/fence/driver-fence.jar')])],
      files: [inRoot('test/support/class-archives.ts')],
    });
  return {
    label: `class archive of Spark ${version} for the tests`,
    bytes: 0.1e9,
    needed() {
      try {
        return !stampFits(stamp, hash());
      } catch {
        // What it is made from is yet to be made.
        return true;
      }
    },
    async run() {
      rmSync(join(folder, version), { recursive: true, force: true });
      mkdirSync(folder, { recursive: true });
      const program = inRoot('build/test/support/class-archives.js');
      await runLogged('class-archives', process.execPath, [program, version], { env: env() });
      writeStamp(stamp, hash());
    },
  };
}
