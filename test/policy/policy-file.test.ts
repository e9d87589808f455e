import test, { type ExecutionContext } from 'ava';
import { mkdir, mkdtemp, rename, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pino } from 'pino';
import { systemClock } from '../../src/model/clock.js';
import type { Policy } from '../../src/model/policy.js';
import { PolicyFile } from '../../src/policy/sources/policy-file.js';
import { ManualClock } from '../support/manual-clock.js';
import { HEAD, options } from './support.js';

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

async function open(t: ExecutionContext, path: string, clock = systemClock): Promise<PolicyFile> {
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
  const file = await open(t, path);
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
  const file = await open(t, join(directory, 'policy.yaml'));

  const changed = nextChange(file);
  await symlink('..2', join(directory, '..next'));
  await rename(join(directory, '..next'), join(directory, '..data'));
  t.is(quotaOf(await changed), 2);
});

test('a bad file leaves the last good policy in force and says why, until it is good again', async (t) => {
  const path = join(await directoryFor(t), 'policy.yaml');
  await writeFile(path, withQuota(1));
  const clock = new ManualClock();
  const file = await open(t, path, clock);
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
  const file = await open(t, path, new ManualClock());
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
  const file = await open(t, path, new ManualClock());
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
  const file = await open(t, join(directory, 'policy.yaml'), clock);

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
