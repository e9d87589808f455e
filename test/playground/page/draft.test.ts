import test from 'ava';
import { Keeping } from '../../../src/playground/page/keeping.js';
import { teamIn, withTeam } from '../../../src/playground/page/manifest-team.js';
import { routeOf } from '../../../src/playground/page/route.js';
import {
  sandboxOf,
  SubmissionKeys,
  submissionOf,
} from '../../../src/playground/page/submission.js';

class Memory {
  readonly kept = new Map<string, string>();
  getItem(key: string): string | null {
    return this.kept.get(key) ?? null;
  }
  setItem(key: string, value: string): void {
    if (value.length > 2_000_000) throw new Error('full');
    this.kept.set(key, value);
  }
}

test('each person has a draft of their own', (t) => {
  const store = new Memory();
  const alice = new Keeping(store, 'issuer alice');
  const draft = { manifest: 'a: 1', environment: 'test', sandbox: false, sampling: '0.1' };
  alice.keepDraft(draft);
  t.deepEqual(new Keeping(store, 'issuer alice').draft(), draft);
  t.is(new Keeping(store, 'issuer bob').draft(), undefined);
});

test('what is kept is bounded, and what is broken or full is no failure', (t) => {
  const store = new Memory();
  const keeping = new Keeping(store, 'alice');
  for (let n = 0; n < 30; n += 1) keeping.keepRun({ job: `job-${n}`, manifest: `m ${n}` });
  t.is(keeping.manifestOf('job-29'), 'm 29');
  t.is(keeping.manifestOf('job-2'), undefined);
  keeping.keepRun({ job: 'large', manifest: 'x'.repeat(1_400_000) });
  keeping.keepRun({ job: 'larger', manifest: 'y'.repeat(1_400_000) });
  t.is(keeping.manifestOf('larger')?.length, 1_400_000);
  t.is(keeping.manifestOf('large'), undefined);
  keeping.keepDraft({ manifest: 'x'.repeat(3_000_000), environment: '' });
  t.is(keeping.draft(), undefined);
  for (const broken of ['{', '[]', '7', '{"manifest":7}', 'null']) {
    for (const key of ['playground draft of alice', 'playground runs of alice']) {
      store.kept.set(key, broken);
    }
    t.is(keeping.draft(), undefined);
    t.is(keeping.manifestOf('job-1'), undefined);
  }
});

test('the team is found and changed in the text, and nothing else is', (t) => {
  const text = 'kind: SparkJob\nmetadata:\n  name: team\n\n  team: ads # ours\nspec:\n  team: no\n';
  t.is(teamIn(text)?.team, 'ads');
  t.is(withTeam(text, 'data'), text.replace('team: ads', 'team: data'));
  t.is(withTeam(text, 'no'), text.replace('team: ads', 'team: "no"'), 'YAML 1.1 reads it as false');
  t.is(withTeam('metadata:\n  team:\n', 'ads'), 'metadata:\n  team: ads\n');
  t.is(withTeam('metadata:\r\n  team: "a b"\r\n', 'ads'), 'metadata:\r\n  team: ads\r\n');
  for (const without of [
    '',
    'spec:\n  team: x\n',
    'metadata:\n  name: x\nteam: y\n',
    'metadata: {team: x}',
  ]) {
    t.is(teamIn(without), undefined, without);
    t.is(withTeam(without, 'ads'), without);
  }
});

const choices = {
  teams: ['ads'],
  environments: ['local', 'prod'],
  sandbox_environments: ['local'],
  local_paths: false,
  defaults: { team: null, environment: null },
};

test('the sandbox is on where it is usual, unless somebody says otherwise', (t) => {
  const draft = { manifest: 'm', environment: 'local' };
  t.true(sandboxOf(draft, choices));
  t.false(sandboxOf({ ...draft, sandbox: false }, choices));
  t.false(sandboxOf({ ...draft, environment: 'prod' }, choices));
  t.deepEqual(submissionOf({ ...draft, sampling: '0.1', ttlSeconds: '' }, choices), {
    manifest: 'm',
    environment: 'local',
    options: { sandbox_mode: 'true', data_sampling: '0.1' },
  });
});

test('a submission without a clear answer keeps its key; any other has a new one', (t) => {
  const keys = new SubmissionKeys();
  const body = { manifest: 'm', environment: 'local' };
  const first = keys.keyFor(body);
  t.regex(first, /^[\x21-\x7e]{1,128}$/);
  t.is(keys.keyFor({ ...body }), first);
  t.not(keys.keyFor({ ...body, manifest: 'n' }), first);
  const again = keys.keyFor(body);
  t.not(again, first);
  keys.answered();
  t.not(keys.keyFor(body), again);
});

test('addresses', (t) => {
  t.deepEqual(routeOf('/', ''), { view: 'workbench', job: undefined });
  t.deepEqual(routeOf('/jobs/job-a%2Fb', ''), { view: 'workbench', job: 'job-a/b' });
  t.like(routeOf('/jobs', '?state=FAILED'), { view: 'jobs' });
  for (const path of ['/jobs/a/b', '/job', '/jobs/a/']) t.is(routeOf(path, '').view, 'unknown');
});
