// npm packages, generated code and compiled code.
import { existsSync, readdirSync, rmSync } from 'node:fs';
import { spawnSync } from 'node:child_process';
import { join, relative } from 'node:path';
import { inRoot, root } from './paths.js';
import { runLogged } from './run-logged.js';
import { SetupError } from './setup-error.js';
import { contentHash, filesBelow, stampFits, treeHash, writeStamp } from './stamp.js';

const packagesStamp = inRoot('node_modules/.setup-stamp');
const generatedStamp = inRoot('gen/.setup-stamp');
const buildStamp = inRoot('build/.setup-stamp');

const packagesHash = () =>
  contentHash({
    texts: [process.version, process.platform, process.arch],
    files: [inRoot('package-lock.json'), inRoot('.npmrc')],
  });

export const packages = {
  label: 'npm packages',
  bytes: 0.4e9,
  needed: () => !stampFits(packagesStamp, packagesHash()),
  async run() {
    await runLogged('npm-ci', 'npm', ['ci']);
    writeStamp(packagesStamp, packagesHash());
  },
};

const generatedHash = () =>
  contentHash({
    texts: [packagesHash()],
    files: [
      inRoot('buf.yaml'),
      inRoot('buf.gen.yaml'),
      inRoot('scripts/generate.js'),
      ...filesBelow(inRoot('proto')),
    ],
  });

export const generated = {
  label: 'code from the protos',
  bytes: 0,
  needed: () => !stampFits(generatedStamp, generatedHash()),
  async run() {
    await runLogged('generate', process.execPath, [inRoot('scripts/generate.js')]);
    writeStamp(generatedStamp, generatedHash());
  },
};

const sourceFolders = ['src', 'test', 'bench'];
const sourceFiles = () => sourceFolders.flatMap((folder) => filesBelow(inRoot(folder)));

const buildHash = () =>
  contentHash({
    texts: [generatedHash(), treeHash(sourceFiles())],
    files: [inRoot('tsconfig.json')],
  });

export const compiled = {
  label: 'compile',
  bytes: 0,
  needed: () => !stampFits(buildStamp, buildHash()),
  async run() {
    const hash = buildHash();
    compile(root);
    removeStaleOutputs();
    for (const part of partsWithPages()) {
      compile(inRoot('src', part, 'page'));
      if (part !== 'lib') await bundlePage(part);
    }
    writeStamp(buildStamp, hash);
  },
};

function compile(project) {
  const result = spawnSync(
    process.execPath,
    [inRoot('node_modules/typescript/bin/tsc'), '-p', project],
    { cwd: root, encoding: 'utf8' },
  );
  if (result.error) throw result.error;
  if (result.status === 0) return;
  process.stderr.write(`\n${result.stdout}${result.stderr}`);
  throw new SetupError('TypeScript found errors (above).');
}

/** Parts of src/ that have a page; what pages share is in lib. */
const partsWithPages = () =>
  readdirSync(inRoot('src')).filter((part) =>
    existsSync(inRoot('src', part, 'page/tsconfig.json')),
  );

/** What a browser gets of a page: one script, one style sheet, and what they name. */
async function bundlePage(part) {
  const { build } = await import('esbuild');
  const page = inRoot('src', part, 'page');
  const shared = inRoot('src/lib/page');
  await build({
    entryPoints: [
      join(page, 'main.tsx'),
      join(page, 'page.css'),
      join(page, 'index.html'),
      join(shared, 'theme.ts'),
      join(shared, 'icon.svg'),
    ],
    outdir: inRoot('build/src', part, 'assets'),
    entryNames: '[name]',
    bundle: true,
    minify: true,
    format: 'esm',
    target: 'es2022',
    jsx: 'automatic',
    jsxImportSource: 'preact',
    loader: { '.html': 'copy', '.svg': 'copy' },
    logLevel: 'warning',
  });
}

/** Removes compiled files whose source is gone: ava would run them. */
function removeStaleOutputs() {
  const sources = new Set(sourceFiles().map((file) => relative(root, file)));
  const build = inRoot('build');
  for (const file of filesBelow(build)) {
    const name = relative(build, file).replace(/\.js(\.map)?$/, '');
    if (name.startsWith('fence/')) continue;
    if (!sources.has(`${name}.ts`) && !sources.has(`${name}.tsx`) && file !== buildStamp)
      rmSync(join(build, relative(build, file)));
  }
}
