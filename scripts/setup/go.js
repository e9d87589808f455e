// Programs that are built from their published Go modules, each once. Every module is a folder under
// test/ with the go.mod and go.sum that fix the versions.
import { spawnSync } from 'node:child_process';
import { runLogged } from './run-logged.js';
import { SetupError } from './setup-error.js';

/**
 * @param {string} what to build, for people
 * @param {string} instead what to do without Go
 * @throws SetupError when there is no Go
 */
export function checkGo(what, instead) {
  if (spawnSync('go', ['version']).status === 0) return;
  throw new SetupError(
    `No Go found to build ${what}: install Go 1.26 or newer, or set ${instead}.`,
  );
}

/**
 * @param {string} name of the program and of the log
 * @param {{module: string, target: string, output: string, ldflags?: string}} options
 *   module: the folder of go.mod; target: the package to build; output: the program
 */
export function buildGo(name, { module, target, output, ldflags = '' }) {
  return runLogged(
    `go-build-${name}`,
    'go',
    [
      '-C',
      module,
      'build',
      '-buildvcs=false',
      '-ldflags',
      `-s -w ${ldflags}`.trim(),
      '-o',
      output,
      target,
    ],
    { env: { CGO_ENABLED: '0' } },
  );
}
