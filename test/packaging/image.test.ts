/** The image, as far as it can be built without a container runtime. */
import { execFile } from 'node:child_process';
import { cp, mkdir, mkdtemp, readFile, rm, symlink } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import test from 'ava';

const run = promisify(execFile);
const root = fileURLToPath(new URL('../../../', import.meta.url));

/** What the last stage takes from the one before it, as paths below the checkout. */
async function imagePaths(): Promise<string[]> {
  const dockerfile = await readFile(join(root, 'Dockerfile'), 'utf8');
  return [...dockerfile.matchAll(/^COPY --from=build \/app\/(\S+)/gm)].flatMap(
    ([, path]) => path ?? [],
  );
}

/** Packages that stay when the development dependencies are removed. */
async function productionPackages(): Promise<string[]> {
  const lock = JSON.parse(await readFile(join(root, 'package-lock.json'), 'utf8')) as {
    readonly packages: Readonly<Record<string, { readonly dev?: boolean }>>;
  };
  return Object.entries(lock.packages)
    .filter(([path, { dev }]) => /^node_modules\/(@[^/]+\/)?[^/]+$/.test(path) && !dev)
    .map(([path]) => path);
}

test('what the image holds is enough to run: its files, and no development dependency', async (t) => {
  const image = await mkdtemp(join(tmpdir(), 'image-'));
  t.teardown(() => rm(image, { recursive: true }));
  for (const path of await imagePaths()) {
    if (path === 'node_modules') continue;
    await cp(join(root, path), join(image, path), { recursive: true });
  }
  for (const path of await productionPackages()) {
    await mkdir(dirname(join(image, path)), { recursive: true });
    await symlink(join(root, path), join(image, path));
  }
  const gateway = (...args: string[]) =>
    run(process.execPath, [join(image, 'build/src/main.js'), ...args], { cwd: image });
  t.regex((await gateway('--version')).stdout, /^\d+\.\d+\.\d+\n$/);
  const bootstrap: unknown = JSON.parse((await gateway('bootstrap')).stdout);
  t.true(typeof bootstrap === 'object' && bootstrap !== null && 'static_resources' in bootstrap);
  t.regex((await gateway('policy', 'schema')).stdout, /RoutingPolicy/);
  for (const role of ['control-plane', 'authz']) {
    const missing = await t.throwsAsync(gateway(role, '--set', 'policy_file=/no/policy.yaml'));
    t.regex(String(missing && 'stderr' in missing ? missing.stderr : ''), /\/no\/policy\.yaml/);
  }
});
