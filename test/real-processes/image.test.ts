/** The image, as far as it can be built without a container runtime. */
import { execFile } from 'node:child_process';
import { cp, mkdir, mkdtemp, readFile, rm, stat, symlink } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import test from 'ava';
import { NODE_OPTIONS } from '../../src/processes/process.js';

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
    // The latter is a link that the Dockerfile makes.
    if (path === 'node_modules' || path === 'bin') continue;
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
  const file = join(image, 'envoy.json');
  t.is((await gateway('bootstrap', '--output', file)).stdout, '');
  t.deepEqual(
    JSON.parse(await readFile(file, 'utf8')),
    bootstrap,
    'no shell is needed to write it',
  );
  t.is((await stat(file)).mode & 0o777, 0o600);
  t.regex((await gateway('policy', 'schema')).stdout, /RoutingPolicy/);
  for (const role of ['control-plane', 'authz']) {
    const missing = await t.throwsAsync(gateway(role, '--set', 'policy_file=/no/policy.yaml'));
    t.regex(String(missing && 'stderr' in missing ? missing.stderr : ''), /\/no\/policy\.yaml/);
  }
});

test('the image runs as a user by number, of a Node that is still supported, and needs no shell', async (t) => {
  const dockerfile = await readFile(join(root, 'Dockerfile'), 'utf8');
  const [, last = ''] = dockerfile.split(/^FROM \$\{NODE_IMAGE\}$/m);
  t.regex(last, /^USER \d+:\d+$/m);
  t.notRegex(last, /^RUN /m);
  t.regex(last, /^ENTRYPOINT \["node", /m);
  const memory = NODE_OPTIONS.filter((option) => option.includes('space'));
  t.deepEqual(last.match(/--[\w-]+space[^"]*/g), memory, 'as `start` runs the roles');
  const major = Number(/^ARG NODE_IMAGE=node:(\d+)/m.exec(dockerfile)?.[1]);
  t.true(major >= 22 && major % 2 === 0, `Node ${major}`);
  const copied = [...dockerfile.matchAll(/^(COPY (?!--from).*|RUN .*)$/gm)].map(([line]) => line);
  t.true(
    copied.findIndex((line) => line.includes('--packages-only')) < copied.indexOf('COPY . .'),
    'a change of sources keeps the layer of the packages',
  );
});
