// What the tests of clients/ run: a Python with pytest, notebooks and Metaflow, the Java client and the
// Go client, actionlint for the examples of CI, grpcurl for the Runner, and an S3 server for results of jobs.
import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { buildGo } from './go.js';
import { inRoot, local } from './paths.js';
import { runLogged } from './run-logged.js';
import { SetupError } from './setup-error.js';
import { contentHash, filesBelow, stampFits, writeStamp } from './stamp.js';
import { findPython, pythonOf, venvStep } from './venv.js';

const OLDEST_MINOR = 11;
const folder = join(local, 'clients');

const venv = venvStep({
  name: 'venv-clients',
  label: 'pytest, notebooks and Metaflow for the tests of clients/',
  requirements: ['clients.txt'],
  bytes: 0.9e9,
});

const venvStepWithCheck = {
  ...venv,
  async run(detail) {
    const { version } = findPython();
    if (Number(version.split('.')[1]) < OLDEST_MINOR) {
      throw new SetupError(
        `The tests of clients/ need Python 3.${OLDEST_MINOR} or newer, and ${version} was found: set PYTHON to its path.`,
      );
    }
    await venv.run(detail);
  },
};

/** Our package as people install it: a wheel. Its sources are its inputs. */
const wheelStamp = join(local, 'venv-clients/.wheel-stamp');
const wheelHash = () =>
  contentHash({
    files: [
      inRoot('scripts/requirements/clients.txt'),
      inRoot('clients/python/pyproject.toml'),
      inRoot('clients/python/README.md'),
      ...filesBelow(inRoot('clients/python/spark_connect_helper')).filter(
        (file) => !file.endsWith('.pyc'),
      ),
    ],
  });
const wheel = {
  label: 'the wheel of clients/python',
  bytes: 0,
  needed: () => !stampFits(wheelStamp, wheelHash()),
  async run() {
    await runLogged('wheel', pythonOf('venv-clients'), [
      '-m',
      'pip',
      'install',
      '--no-deps',
      '--no-index',
      '--no-build-isolation',
      '--no-input',
      '--force-reinstall',
      inRoot('clients/python'),
    ]);
    writeStamp(wheelStamp, wheelHash());
  },
};

const javaFolder = inRoot('clients/java');
const classpath = join(javaFolder, 'target/classpath.txt');
const javaStamp = join(javaFolder, 'target/.setup-stamp');
const javaHash = () =>
  contentHash({
    files: [join(javaFolder, 'pom.xml'), ...filesBelow(join(javaFolder, 'src'))],
  });
const java = {
  label: 'the Java client (Maven, about 100 MB to download)',
  bytes: 0.3e9,
  needed: () => !stampFits(javaStamp, javaHash()) || !existsSync(classpath),
  async run() {
    // --help makes Maven fetch what it needs to run the example, so that it needs no network later.
    await runLogged('maven', 'mvn', [
      '--batch-mode',
      '--no-transfer-progress',
      '--file',
      join(javaFolder, 'pom.xml'),
      'package',
      'dependency:build-classpath',
      `-Dmdep.outputFile=${classpath}`,
      'exec:exec',
      '-Dexample.args=--help',
    ]);
    writeStamp(javaStamp, javaHash());
  },
};

const goFolder = inRoot('clients/go');
const goProgram = join(folder, 'go/example');
const goStamp = join(folder, 'go/.setup-stamp');
const goHash = () =>
  contentHash({
    texts: [process.platform, process.arch],
    files: filesBelow(goFolder),
  });
const go = {
  label: 'the Go client',
  bytes: 1e9,
  needed: () => !stampFits(goStamp, goHash()) || !existsSync(goProgram),
  async run() {
    mkdirSync(join(folder, 'go'), { recursive: true });
    await buildGo('client', { module: goFolder, target: './cmd/example', output: goProgram });
    writeStamp(goStamp, goHash());
  },
};

/** A program that the tests run, from its Go module: a folder of test/clients whose go.mod fixes the version. */
function goTool(name, target) {
  const module = inRoot('test/clients', name);
  const program = join(folder, name, name);
  const stamp = join(folder, name, '.setup-stamp');
  const hash = () =>
    contentHash({
      texts: [process.platform, process.arch],
      files: ['go.mod', 'go.sum'].map((file) => join(module, file)),
    });
  return {
    program,
    step: {
      label: `${name} from its Go module`,
      bytes: 0.5e9,
      needed: () => !stampFits(stamp, hash()) || !existsSync(program),
      async run() {
        mkdirSync(join(folder, name), { recursive: true });
        await buildGo(name, { module, target, output: program });
        writeStamp(stamp, hash());
      },
    },
  };
}

const actionlint = goTool('actionlint', 'github.com/rhysd/actionlint/cmd/actionlint');
const grpcurl = goTool('grpcurl', 'github.com/fullstorydev/grpcurl/cmd/grpcurl');
/** An S3 server over a folder. */
const versitygw = goTool('versitygw', 'github.com/versity/versitygw/cmd/versitygw');

export const hasGo = () => spawnSync('go', ['version']).status === 0;
export const hasMaven = () => spawnSync('mvn', ['--version'], { stdio: 'ignore' }).status === 0;

/** The steps that can be made here: Java's needs Maven, Go's and the tools need Go. */
export function clientSteps() {
  return [
    venvStepWithCheck,
    wheel,
    ...(hasMaven() ? [java] : []),
    ...(hasGo() ? [go, actionlint.step, grpcurl.step, versitygw.step] : []),
  ];
}

/** Environment variables that name what was made. */
export function clientPrograms() {
  return {
    SPARK_GATEWAY_PYTHON_CLIENTS: pythonOf('venv-clients'),
    ...(hasMaven() && { JAVA_CLIENT: javaFolder }),
    ...(hasGo() && {
      GO_CLIENT: goProgram,
      ACTIONLINT: actionlint.program,
      GRPCURL: grpcurl.program,
      VERSITYGW: versitygw.program,
    }),
  };
}
