import { mkdirSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { mkdir, mkdtemp, rename, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { credentials, Server, ServerCredentials } from '@grpc/grpc-js';
import test, { type ExecutionContext } from 'ava';
import * as fc from 'fast-check';
import { pino } from 'pino';
import { parse } from 'yaml';
import { systemClock } from '../../src/model/clock.js';
import { GatewayError } from '../../src/model/errors.js';
import type { Policy } from '../../src/model/policy.js';
import { compilePolicy } from '../../src/policy/compile.js';
import { PolicyDistribution, RemotePolicy } from '../../src/policy/sources/distribution.js';
import { KeptPolicy, LastGoodPolicy } from '../../src/policy/sources/last-good.js';
import { PolicyFile } from '../../src/policy/sources/policy-file.js';
import { compileSpec, LONGEST_MESSAGE } from '../../src/policy/sources/policy-resource-schema.js';
import {
  type PolicyResourceStatus,
  statusOf,
} from '../../src/policy/sources/policy-resource-status.js';
import { unusedAddress } from '../support/loopback.js';
import { ManualClock } from '../support/manual-clock.js';
import { Signal } from '../support/signal.js';
import { tries } from '../support/tries.js';
import { arbitraryPolicy } from './arbitrary.js';
import { HEAD, ISSUER, mistakesIn, options } from './support.js';

const HOST = await unusedAddress();

// A file.

const logger = pino({ level: 'silent' });

function withQuota(sessions: number | string): string {
  return `${HEAD}access: []\nquotas: [{sessions_per_principal: ${sessions}}]\n`;
}

function quotaOf(policy: Policy): number | undefined {
  return policy.quotas('sjns-a-dev').sessionsPerPrincipal;
}

async function directoryFor(t: ExecutionContext): Promise<string> {
  const directory = await mkdtemp(join(tmpdir(), 'policy-'));
  t.teardown(() => rm(directory, { recursive: true }));
  return directory;
}

async function openFile(
  t: ExecutionContext,
  path: string,
  clock = systemClock,
): Promise<PolicyFile> {
  const file = await PolicyFile.open(path, { compile: options, clock, logger });
  t.teardown(() => file.close());
  return file;
}

/** What watches a file keeps no process alive; a test that waits for it must. */
function keepAlive(t: ExecutionContext): void {
  const timer = setInterval(() => undefined, 60_000);
  t.teardown(() => clearInterval(timer));
}

function nextChange(file: PolicyFile): Promise<Policy> {
  return new Promise((resolve) => {
    const end = file.onChange((policy) => {
      end();
      resolve(policy);
    });
  });
}

test('a file that another replaces by rename is taken over', async (t) => {
  keepAlive(t);
  const directory = await directoryFor(t);
  const path = join(directory, 'policy.yaml');
  await writeFile(path, withQuota(1));
  const file = await openFile(t, path);
  t.is(quotaOf(file.current), 1);
  const { version } = file.status;

  const changed = nextChange(file);
  await writeFile(join(directory, 'next'), withQuota(2));
  await rename(join(directory, 'next'), path);
  t.is(quotaOf(await changed), 2);
  t.is(quotaOf(file.current), 2);
  t.not(file.status.version, version);
});

test('a ConfigMap volume that swaps its link is taken over', async (t) => {
  keepAlive(t);
  const directory = await directoryFor(t);
  await mkdir(join(directory, '..1'));
  await mkdir(join(directory, '..2'));
  await writeFile(join(directory, '..1', 'policy.yaml'), withQuota(1));
  await writeFile(join(directory, '..2', 'policy.yaml'), withQuota(2));
  await symlink('..1', join(directory, '..data'));
  await symlink(join('..data', 'policy.yaml'), join(directory, 'policy.yaml'));
  const file = await openFile(t, join(directory, 'policy.yaml'));

  const changed = nextChange(file);
  await symlink('..2', join(directory, '..next'));
  await rename(join(directory, '..next'), join(directory, '..data'));
  t.is(quotaOf(await changed), 2);
});

test('a bad file leaves the last good policy in force and says why, until it is good again', async (t) => {
  const path = join(await directoryFor(t), 'policy.yaml');
  await writeFile(path, withQuota(1));
  const clock = new ManualClock();
  const file = await openFile(t, path, clock);
  const before = file.status;

  await writeFile(path, withQuota('many'));
  await file.reload();
  t.is(quotaOf(file.current), 1);
  t.is(file.status.version, before.version);
  t.is(file.status.loadedAtMs, before.loadedAtMs);
  t.regex(file.status.error ?? '', /policy\.yaml:5:35: "many" is not a whole number/);

  await rm(path);
  await file.reload();
  t.regex(file.status.error ?? '', /cannot be read: ENOENT/);
  t.is(quotaOf(file.current), 1);

  await writeFile(path, withQuota(1));
  await file.reload();
  t.is(file.status.error, undefined);
  t.is(quotaOf(file.current), 1);
});

test('listeners hear of each change once, and not of a write that changes nothing', async (t) => {
  const path = join(await directoryFor(t), 'policy.yaml');
  await writeFile(path, withQuota(1));
  const file = await openFile(t, path, new ManualClock());
  const heard: (number | undefined)[] = [];
  file.onChange((policy) => {
    heard.push(quotaOf(policy));
    throw new Error('a listener that fails stops no other');
  });
  const end = file.onChange((policy) => heard.push(quotaOf(policy)));

  await writeFile(path, withQuota(1));
  await file.reload();
  t.deepEqual(heard, []);
  await writeFile(path, withQuota(2));
  await Promise.all([file.reload(), file.reload()]);
  t.deepEqual(heard, [2, 2]);
  end();
  await writeFile(path, withQuota(3));
  await file.reload();
  t.deepEqual(heard, [2, 2, 3]);
});

test('a change while a large policy is being read is what comes into force, and stays', async (t) => {
  const path = join(await directoryFor(t), 'policy.yaml');
  await writeFile(path, withQuota(1));
  const file = await openFile(t, path, new ManualClock());
  const heard: (number | undefined)[] = [];
  file.onChange((policy) => heard.push(quotaOf(policy)));

  const large = '# a comment\n'.repeat(1000);
  for (const [quota, next] of [
    [2, 3],
    [4, 'bad'],
    [5, 6],
  ] as const) {
    await writeFile(path, `${withQuota(quota)}${large}`);
    const first = file.reload();
    await writeFile(path, withQuota(next));
    await Promise.all([first, file.reload()]);
    t.is(file.status.error !== undefined, next === 'bad');
    if (next !== 'bad') t.is(quotaOf(file.current), next);
  }
  await file.reload();
  t.is(heard.at(-1), 6);
});

test('a change that no watch told of is found after a while', async (t) => {
  const directory = await directoryFor(t);
  const elsewhere = await directoryFor(t);
  await writeFile(join(elsewhere, 'policy.yaml'), withQuota(1));
  await symlink(join(elsewhere, 'policy.yaml'), join(directory, 'policy.yaml'));
  const clock = new ManualClock();
  const file = await openFile(t, join(directory, 'policy.yaml'), clock);

  await writeFile(join(elsewhere, 'policy.yaml'), withQuota(2));
  const changed = nextChange(file);
  await clock.advance(5000);
  t.is(quotaOf(await changed), 2);
});

test('a start with a bad or missing file is refused', async (t) => {
  const path = join(await directoryFor(t), 'policy.yaml');
  const opening = { compile: options, clock: systemClock, logger };
  await t.throwsAsync(PolicyFile.open(path, opening), { message: /cannot be read: ENOENT/ });
  await writeFile(path, 'kind: RoutingPolicy\n');
  await t.throwsAsync(PolicyFile.open(path, opening), { message: /needs "apiVersion"/ });
});

// The control plane's policy.

/** A control plane that has this policy. */
async function serve(t: ExecutionContext, text: string, port = 0) {
  const source = new LastGoodPolicy({ what: 'it', clock: systemClock, logger });
  const put = (next: string) => source.take(compilePolicy(next, 'policy.yaml', options), next);
  put(text);
  const distribution = new PolicyDistribution(source);
  const server = new Server();
  distribution.addTo(server);
  const bound = await new Promise<number>((resolve, reject) => {
    const insecure = ServerCredentials.createInsecure();
    server.bindAsync(`${HOST}:${port}`, insecure, (error, used) => {
      if (error) reject(error);
      else resolve(used);
    });
  });
  t.teardown(() => server.forceShutdown());
  const away = new GatewayError('CONTROL_PLANE_UNAVAILABLE', 'It ends.');
  return {
    port: bound,
    put,
    /** Tells what no gateway with these settings takes. */
    putBad(document: string) {
      const { status } = source;
      Object.defineProperty(source, 'status', {
        value: { ...status, version: 'other', text: document },
        configurable: true,
      });
      source.refuse('it changed');
      Reflect.deleteProperty(source, 'status');
    },
    async end() {
      distribution.close(away);
      await new Promise<void>((resolve) => server.tryShutdown(() => resolve()));
    },
  };
}

function sidecar(t: ExecutionContext, port: number, folder = mkdtempSync(join(tmpdir(), 'kept-'))) {
  t.teardown(() => rmSync(folder, { recursive: true, force: true }));
  const file = join(folder, 'state', 'policy.yaml');
  const stop = new AbortController();
  const open = async () => {
    const opened = await RemotePolicy.open(
      {
        address: `${HOST}:${port}`,
        serverName: undefined,
        credentials: credentials.createInsecure(),
        compile: options,
        kept: new KeptPolicy(file, logger),
        clock: systemClock,
        logger,
      },
      stop.signal,
    );
    if (!opened) return undefined;
    t.teardown(() => opened.close());
    const changes = new Signal<void>();
    opened.onChange(() => changes.emit());
    const quota = () => opened.current.quotas('sjns-a-dev').sessionsPerPrincipal;
    return { policy: opened, changes, quota };
  };
  return { file, folder, stop, open };
}

test('it decides by what the control plane tells, and goes on with that when it is away or tells nonsense', async (t) => {
  const first = await serve(t, withQuota(1));
  const { file, open } = sidecar(t, first.port);
  const remote = await open();
  t.is(remote?.quota(), 1);
  first.put(withQuota(2));
  await remote?.changes.next();
  t.is(remote?.quota(), 2);
  first.putBad('kind: Nonsense\n');
  await remote?.changes.next();
  t.is(remote?.quota(), 2);
  t.regex(remote?.policy.status.error ?? '', /Nonsense/);
  await first.end();
  t.is(remote?.quota(), 2);
  await serve(t, withQuota(3), first.port);
  await remote?.changes.next();
  t.is(remote?.quota(), 3);
  t.is(remote?.policy.status.error, undefined);
  await remote?.policy.close();
  t.is(readFileSync(file, 'utf8'), withQuota(3));
  t.is(statSync(file).mode & 0o777, 0o600);
});

test('after a restart it decides by its copy until a control plane answers', async (t) => {
  const first = await serve(t, withQuota(1));
  const { open } = sidecar(t, first.port);
  await (await open())?.policy.close();
  await first.end();
  const again = await open();
  t.is(again?.quota(), 1);
  await serve(t, withQuota(2), first.port);
  await again?.changes.next();
  t.is(again?.quota(), 2);
});

test('without a copy, or with a broken one, there is nothing to decide by until a control plane answers', async (t) => {
  const gone = await serve(t, withQuota(1));
  await gone.end();
  const { open, stop, folder } = sidecar(t, gone.port);
  const waiting = open();
  stop.abort();
  t.is(await waiting, undefined);
  const broken = sidecar(t, gone.port, folder);
  mkdirSync(join(folder, 'state'));
  writeFileSync(broken.file, 'half a po');
  const second = broken.open();
  await serve(t, withQuota(2), gone.port);
  t.is((await second)?.quota(), 2);
});

// A Kubernetes resource.

function specOf(text: string): object {
  const { apiVersion, kind, ...spec } = parse(text) as Record<string, unknown>;
  return apiVersion && kind ? spec : {};
}

function messageOf(spec: object): string {
  try {
    compileSpec({ issuers: [{ issuer: ISSUER, audiences: ['api'] }], ...spec }, options);
  } catch (error) {
    if (error instanceof GatewayError && error.code === 'POLICY_INVALID') return error.message;
    throw error;
  }
  return '';
}

test('what a file may say a resource may say, and its text is the file that says the same', (t) => {
  fc.assert(
    fc.property(arbitraryPolicy, (rest) => {
      const text = `${HEAD}${rest}`;
      fc.pre(mistakesIn(text).length === 0);
      const compiled = compileSpec(specOf(text), options);
      const again = compilePolicy(compiled.text, 'policy.yaml', options);
      t.is(again.version, compiled.policy.version);
      t.deepEqual(again.warmNamespaces, compiled.policy.warmNamespaces);
    }),
    { numRuns: tries(100) },
  );
});

const who = { groups: ['a'] };
const what = { teams: ['a'], environments: ['dev'] };
const mistakes: readonly (readonly [object, RegExp])[] = [
  [{ access: 5 }, /^spec\.access: "5" is not a list/],
  [{ access: [{ who, what }, { who }] }, /^spec\.access\[1\]: an access rule needs "what"/],
  [
    { access: [{ who: { ...who, services: ['x'] }, what }] },
    /^spec\.access\[0\]\.who\.services: "x" is no service/,
  ],
  [
    { access: [], targets: { environment_by_host: { 'a b': 'dev' } } },
    /^spec\.targets\.environment_by_host\["a b"\]: "a b" is not a host name/,
  ],
  [{ access: [], pool: [] }, /^spec\.pool: "pool" is no field of a routing policy/],
  [
    { access: [{ who, what, name: 'x'.repeat(500_000) }] },
    /^spec: \d+ characters as YAML are too many/,
  ],
];
for (const [spec, message] of mistakes) {
  test(`a mistake is told with its path: ${message.source}`, (t) => {
    t.regex(messageOf(spec), message);
  });
}

// Its status.

const inForce = { version: 'v1', document: 'text' };
const START_MS = Date.UTC(2026, 0, 1);

function since({ conditions }: PolicyResourceStatus) {
  return conditions?.map(({ lastTransitionTime }) => lastTransitionTime);
}

test('a condition keeps the time of its transition until it changes', (t) => {
  const good = statusOf({ generation: 1, error: undefined, inForce }, {}, START_MS);
  t.deepEqual(statusOf({ generation: 1, error: undefined, inForce }, good, START_MS + 1), good);
  const bad = statusOf({ generation: 2, error: 'spec: x', inForce }, good, START_MS + 2);
  t.deepEqual(
    bad.conditions?.map(({ type, status, reason }) => [type, status, reason]),
    [
      ['Accepted', 'False', 'Invalid'],
      ['Programmed', 'False', 'LastGoodInForce'],
    ],
  );
  t.deepEqual(bad.inForce, inForce);
  const other = statusOf({ generation: 3, error: 'spec: y', inForce }, bad, START_MS + 3);
  t.deepEqual(since(other), since(bad));
  t.notDeepEqual(since(bad), since(good));
  t.true(other.conditions?.every(({ observedGeneration }) => observedGeneration === 3));
});

test('more mistakes than a condition holds are cut off', (t) => {
  const error = 'spec: x\n'.repeat(LONGEST_MESSAGE);
  const { conditions } = statusOf({ generation: 1, error, inForce: undefined }, {}, START_MS);
  t.is(conditions?.[0]?.message.length, LONGEST_MESSAGE);
  t.is(conditions?.[1]?.reason, 'NoGoodPolicy');
});
