// A Chromium for the tests of the console: CHROMIUM_BIN, one on PATH, or the one in an npm package.
import { spawnSync } from 'node:child_process';
import { cpSync, existsSync, mkdirSync, rmSync } from 'node:fs';
import { delimiter, join } from 'node:path';
import { inRoot, local } from './paths.js';
import { runLogged } from './run-logged.js';
import { SetupError } from './setup-error.js';
import { contentHash, stampFits, writeStamp } from './stamp.js';

const folder = join(local, 'chromium');
const unpacked = join(folder, 'unpacked');
const installed = join(unpacked, 'chromium');
const stamp = join(folder, '.setup-stamp');
const requirements = inRoot('scripts/requirements/chromium');
const files = ['package.json', 'package-lock.json'].map((name) => join(requirements, name));
const hash = () => contentHash({ texts: [process.arch], files });

export const chromiumStep = {
  label: 'Chromium for the tests (none found on this machine)',
  bytes: 0.4e9,
  needed: () => !stampFits(stamp, hash()) || !existsSync(installed),
  async run() {
    if (process.platform !== 'linux' || process.arch !== 'x64') {
      throw new SetupError('The tests need Chromium: install it, or set CHROMIUM_BIN to its path.');
    }
    rmSync(folder, { recursive: true, force: true });
    mkdirSync(unpacked, { recursive: true });
    for (const file of files) cpSync(file, join(folder, file.slice(requirements.length)));
    cpSync(inRoot('.npmrc'), join(folder, '.npmrc'));
    await runLogged('chromium', 'npm', ['ci', '--ignore-scripts'], { cwd: folder });
    // The package unpacks into the folder for temporary files, its shared libraries only when it
    // takes the machine for the one that it was made for.
    await runLogged(
      'chromium',
      process.execPath,
      [
        '--input-type=module',
        '--eval',
        "await (await import('@sparticuz/chromium')).default.executablePath()",
      ],
      {
        append: true,
        cwd: folder,
        env: { TMPDIR: unpacked, AWS_EXECUTION_ENV: 'AWS_Lambda_nodejs20.x' },
      },
    );
    writeStamp(stamp, hash());
  },
};

/**
 * The Chromium that is there without installing one.
 * @returns {string | undefined}
 * @throws SetupError when CHROMIUM_BIN is set to something that does not run
 */
export function findChromium(env = process.env) {
  const given = env.CHROMIUM_BIN;
  if (given) {
    if (runs(given)) return given;
    throw new SetupError(`CHROMIUM_BIN=${given} does not run: set it to Chromium, or unset it.`);
  }
  const folders = (env.PATH ?? '').split(delimiter);
  return ['chromium', 'chromium-browser', 'google-chrome']
    .flatMap((name) => folders.map((path) => join(path, name)))
    .find((candidate) => existsSync(candidate) && runs(candidate));
}

/** Environment variables by which the tests start what `chromiumStep` installed. */
export function installedChromium() {
  const libraries = missesLibraries() ? { CHROMIUM_LIBRARIES: join(unpacked, 'al2023/lib') } : {};
  // The package's own fonts.conf names folders of the machine that it was made for.
  return { CHROMIUM_BIN: installed, CHROMIUM_FONTS: requirements, ...libraries };
}

function missesLibraries() {
  const { stdout } = spawnSync('ldd', [installed], { encoding: 'utf8' });
  return stdout?.includes('not found') ?? false;
}

function runs(program) {
  const { status } = spawnSync(program, ['--version'], { stdio: 'ignore', timeout: 30_000 });
  return status === 0;
}
