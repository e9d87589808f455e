// Virtual environments in .local, filled from a list of exact pins.
import { spawnSync } from 'node:child_process';
import { existsSync, readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { inRoot, local } from './paths.js';
import { runLogged } from './run-logged.js';
import { SetupError } from './setup-error.js';
import { contentHash, stampFits, writeStamp } from './stamp.js';

const OLDEST_PYTHON = [3, 10];

/** @returns the virtual environment's Python */
export function pythonOf(venvName) {
  return join(local, venvName, 'bin/python');
}

/**
 * A step that makes a virtual environment.
 * @param {{name: string, label: string, requirements: readonly string[], bytes: number}} options
 *   requirements: names of files in scripts/requirements
 */
export function venvStep({ name, label, requirements, bytes }) {
  const folder = join(local, name);
  const stamp = join(folder, '.setup-stamp');
  const files = requirements.map((file) => inRoot('scripts/requirements', file));
  const hash = () => contentHash({ files });
  return {
    label,
    bytes,
    usesPython: true,
    needed: () => !stampFits(stamp, hash()) || !existsSync(pythonOf(name)),
    async run(detail) {
      const { command, version } = findPython();
      detail(`making it with Python ${version}`);
      rmSync(folder, { recursive: true, force: true });
      await runLogged(name, command, ['-m', 'venv', folder]);
      await runLogged(
        name,
        pythonOf(name),
        [
          '-m',
          'pip',
          'install',
          '--no-deps',
          '--no-input',
          ...files.flatMap((file) => ['-r', file]),
        ],
        {
          append: true,
          onLine: pipProgress(files, detail),
          env: { PIP_DISABLE_PIP_VERSION_CHECK: '1' },
        },
      );
      writeStamp(stamp, hash());
    },
  };
}

/** Turns pip's output into "7 of 15: pyspark 4.3.0 (434.2 MB)". */
function pipProgress(files, detail) {
  const names = files.flatMap((file) =>
    readFileSync(file, 'utf8')
      .split('\n')
      .filter((line) => /^\w/.test(line))
      .map((line) => line.split('==')[0]),
  );
  const total = new Set(names).size;
  let count = 0;
  let current = '';
  return (line) => {
    const [, name] = /^Collecting ([\w.-]+)/.exec(line) ?? [];
    if (name) current = `${++count} of ${total}: ${name}`;
    const [, size] = /^\s+Downloading .*\(([\d.]+ [kMG]B)\)/.exec(line) ?? [];
    if (name || size) detail(`${current}${size ? ` (${size})` : ''}`);
    if (line.startsWith('Building wheel')) detail('building a wheel of PySpark');
    if (line.startsWith('Installing collected')) detail('unpacking');
  };
}

/**
 * A Python that can make a virtual environment: `PYTHON` if set, else the first that fits on PATH.
 * @param {Record<string, string | undefined>} env
 */
export function findPython(env = process.env) {
  const candidates = env.PYTHON
    ? [env.PYTHON]
    : ['python3', 'python3.13', 'python3.12', 'python3.11', 'python3.10', 'python'];
  const seen = [];
  for (const command of candidates) {
    const found = inspectPython(command, env);
    if (!found) continue;
    const [major, minor] = found.version.split('.').map(Number);
    if (major < OLDEST_PYTHON[0] || (major === OLDEST_PYTHON[0] && minor < OLDEST_PYTHON[1])) {
      seen.push(`${command} is ${found.version}`);
    } else if (!found.venv) {
      seen.push(`${command} (${found.version}) has no venv module, Debian's package python3-venv`);
    } else {
      return { command, version: found.version };
    }
  }
  const what = seen.length > 0 ? ` (${seen.join('; ')})` : '';
  throw new SetupError(
    `No Python ${OLDEST_PYTHON.join('.')} or newer with venv found${what}: install one, or set PYTHON to its path.`,
  );
}

function inspectPython(command, env) {
  const program = [
    'import importlib.util as u, platform',
    'print(platform.python_version(), all(u.find_spec(m) for m in ("venv", "ensurepip")))',
  ].join('\n');
  const { status, stdout } = spawnSync(command, ['-c', program], { encoding: 'utf8', env });
  if (status !== 0) return undefined;
  const [version, venv] = stdout.trim().split(' ');
  return { version, venv: venv === 'True' };
}
