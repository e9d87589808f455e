// Generates message code from the protos into gen/ (git-ignored).
// Usage: node scripts/generate.js
import { spawnSync } from 'node:child_process';
import { mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = join(dirname(fileURLToPath(import.meta.url)), '..');
const deps = join(root, 'node_modules/@grpc/grpc-js-xds/deps');

// Envoy's protos use StringRules.ignore_empty, which the validate.proto of the same package is too
// old to declare. Field 26 is what protoc-gen-validate itself gave it in a later release.
const stagedFile = join(root, 'gen/staged/validate/validate.proto');
const original = readFileSync(join(deps, 'protoc-gen-validate/validate/validate.proto'), 'utf8');
const corrected = /message StringRules \{[^]*?ignore_empty[^]*?\n\}/.test(
  original.match(/message StringRules \{[^]*?\n\}/)[0],
)
  ? original
  : original.replace(
      /(message StringRules \{[^]*?)(\n\})/,
      '$1\n    optional bool ignore_empty = 26;$2',
    );
rmSync(join(root, 'gen'), { recursive: true, force: true });
mkdirSync(dirname(stagedFile), { recursive: true });
writeFileSync(stagedFile, corrected);

const result = spawnSync(
  process.execPath,
  [join(root, 'node_modules/@bufbuild/buf/bin/buf'), 'generate'],
  {
    cwd: root,
    stdio: 'inherit',
    env: { ...process.env, PATH: `${join(root, 'node_modules/.bin')}:${process.env.PATH}` },
  },
);
if (result.error) throw result.error;
process.exitCode = result.status ?? 1;
