import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test, { type ExecutionContext } from 'ava';
import { checkDeadline } from '../../src/cli/commands/drain.js';
import { connect } from '../../src/cli/admin-client.js';
import { runOnline } from '../../src/cli/online.js';
import type { OnlineCommand } from '../../src/cli/command.js';
import { findCommand } from '../../src/cli/commands.js';
import type { PolicyDiff, PolicyDiffAnswer } from '../../src/model/policy-diff.js';
import { GatewayError } from '../../src/model/errors.js';
import { namespaceReference } from '../../src/model/fleet-problem.js';
import type { ConnectedEnvoy } from '../../src/model/reports.js';
import { type AdminApiOptions, startAdminApi } from '../support/admin-api.js';
import { driverRecord, sessionId, sessionRecord, START_MS } from '../support/driver-records.js';

const session = sessionRecord(sessionId(1));
const records = [
  driverRecord('driver-1', { phase: 'in_use', sessions: { [session.sessionId]: session } }),
  driverRecord('driver-2', { phase: 'warming', reason: 'ImagePullBackOff' }),
];
const observed = [{ uid: 'driver-1', condition: 'ready' }] as const;

function envoy(id: string, replica?: string): ConnectedEnvoy {
  return {
    id,
    cluster: 'front',
    view: 'front',
    remoteAddress: '10.1.1.1:4711',
    protocol: 'delta',
    aggregated: true,
    connectedAtMs: START_MS,
    types: [],
    ...(replica === undefined ? {} : { replica }),
  };
}

interface Ran {
  readonly output: string;
  readonly said: readonly string[];
  readonly exitCode: number;
}

function online(name: string): OnlineCommand {
  const command = findCommand(name);
  if (command.online !== true) throw new TypeError(`${name} asks no gateway`);
  return command;
}

/** Runs a command as an operator against a real admin API; `pauses` before it is ended. */
async function run(
  t: ExecutionContext,
  name: string,
  operands: readonly string[] = [],
  flags: Readonly<Record<string, string>> = {},
  {
    person = 'operator',
    ...options
  }: AdminApiOptions & { readonly person?: 'nobody' | 'operator' } = {},
): Promise<Ran> {
  const api = await startAdminApi(t, { records, observed, ...options });
  const client = await connect({
    options: new Map([['server', api.url]]),
    env: { SPARK_GATEWAY_TOKEN: await api.tokenOf(person) },
    settingsUrl: '',
    issuerUrl: undefined,
    settingsNamed: false,
    login: async () => undefined,
  });
  let output = '';
  const said: string[] = [];
  const exitCode = await runOnline(
    online(name),
    {
      client,
      operands,
      options: new Map(Object.entries(flags)),
      now: () => START_MS + 90_000,
      pause: () => Promise.reject(new Error('enough')),
      print: () => undefined,
      say: (text) => void said.push(text),
    },
    { write: (text) => void (output += text), width: () => undefined },
  );
  return { output, said, exitCode };
}

test('sessions: short ids for people, everything for programs', async (t) => {
  t.is(
    (await run(t, 'sessions')).output,
    [
      'SESSION   PRINCIPAL  TEAM  ENVIRONMENT  DRIVER    STATE  RUNNING  IDLE   AGE',
      '00000000  alice      ads   dev          driver-1  live   -        1m30s  1m30s',
      '',
    ].join('\n'),
  );
  const { output } = await run(t, 'sessions', [], { output: 'json', driver: 'driver-1' });
  t.like((JSON.parse(output) as object[])[0], { id: session.sessionId, driver: 'driver-1' });
});

test('pools: the drivers of canaries have rows of their own', async (t) => {
  const drivers = [driverRecord('driver-1'), driverRecord('driver-2', { variant: 'spark-next' })];
  const { output } = await run(t, 'pools', [], {}, { records: drivers });
  t.is(
    output,
    [
      'NAMESPACE     VARIANT     SIZE  MAXIMUM  DRIVERS  WARMING  AVAILABLE  IN USE  DRAINING  SESSIONS  WAITING  FAILURE',
      'sjns-ads-dev  -           2     4        1        0        1          0       0         0         -        -',
      'sjns-ads-dev  spark-next  0     0        1        0        1          0       0         0         -        -',
      '',
    ].join('\n'),
  );
  t.notRegex((await run(t, 'pools')).output, /VARIANT/);
});

test('sidecars: by which policy each decides, and what is not good below', async (t) => {
  const sidecar = {
    sidecarId: '5f1c7e0a-7f5c-4c3e-9d3c-0d6b6a7c0001',
    name: 'envoy-a',
    connected: true,
    leaseEndsMs: START_MS + 600_000,
    lastSeenMs: START_MS + 86_000,
    pendingNotices: 0,
    policy: {
      version: 'a98ff4b0efa3',
      problem: undefined,
      shadow: { version: undefined, problem: 'next.yaml:3:1: bad', counts: [], examples: [] },
    },
  };
  const sidecars = [sidecar, { ...sidecar, name: '', connected: false, policy: undefined }];
  const { output } = await run(t, 'sidecars', [], {}, { sidecars });
  t.is(
    output,
    [
      'SIDECAR   CONNECTED  POLICY        TRIED OUT  LAST SEEN',
      'envoy-a   yes        a98ff4b0efa3  -          4s',
      '5f1c7e0a  no         -             -          4s',
      '',
      'Not good:',
      'envoy-a tried out: next.yaml:3:1: bad',
      '',
    ].join('\n'),
  );
  const yaml = (await run(t, 'sidecars', [], { output: 'yaml' }, { sidecars })).output;
  t.regex(yaml, /name: envoy-a/);
  t.regex((await run(t, 'sidecars')).output, /knows of no sidecar; the leader does/);
});

test('policy diff: what would change in tables, for scripts by the exit code', async (t) => {
  const folder = await mkdtemp(join(tmpdir(), 'policy-diff-'));
  t.teardown(() => rm(folder, { recursive: true }));
  const file = join(folder, 'next.yaml');
  await writeFile(file, 'kind: RoutingPolicy\n');
  const counted = { sessions: 1, people: 0, unknown: 0, rules: 0 };
  const same = { gained: 0, lost: 0, moved: 0, namespaces: 0, ...counted };
  const lists = { changes: [], namespaces: [], unknown: [], rules: [] };
  const none: PolicyDiff = { problems: [], version: 'a', candidate: 'b', counts: same, ...lists };
  const diff = (answer: PolicyDiffAnswer) =>
    run(t, 'policy diff', [file], {}, { diffPolicy: () => Promise.resolve(answer) });
  t.deepEqual(await diff(none), {
    output:
      'From policy a to b, for 1 session and 0 further requests: 0 lost, 0 gained, 0 moved; 0 namespaces changed.\n',
    said: [],
    exitCode: 0,
  });
  const refusal = { code: 'NAMESPACE_REFUSED', message: 'You may use: nothing.' };
  const lost = {
    change: 'lost',
    session: session.sessionId,
    principal: session.principal,
    before: { namespace: 'sjns-ads-dev' },
    after: { refusal },
  } as const;
  const changed = await diff({ ...none, changes: [lost], counts: { ...same, lost: 1 } });
  t.is(changed.exitCode, 1);
  t.regex(
    changed.output,
    /^lost +00000000 +alice +allowed in sjns-ads-dev +NAMESPACE_REFUSED +You may use: nothing\.$/m,
  );
  const rules = [{ change: 'gone', part: 'batch.submit', rule: '{}' }] as const;
  const fewer = await diff({ ...none, rules, counts: { ...same, rules: 1 } });
  t.is(fewer.exitCode, 1);
  t.regex(fewer.output, /^batch\.submit +gone +\{\}$/m);
  const unknown = [{ ...lost, namespace: 'sjns-ads-dev' }];
  const doubt = await diff({ ...none, unknown, counts: { ...same, unknown: 1 } });
  t.is(doubt.exitCode, 1, 'doubt is no reason to go on');
  t.regex(doubt.output, /^NOT KNOWN +PRINCIPAL +NAMESPACE$/m);
  await t.throwsAsync(diff({ problems: ['candidate:1:1: this is wrong'] }), {
    code: 'POLICY_INVALID',
    message: `${file}:1:1: this is wrong`,
  });
  await t.throwsAsync(run(t, 'policy diff', [join(folder, 'none.yaml')]), {
    code: 'POLICY_INVALID',
    message: /cannot be read/,
  });
});

test('drivers: the reason is at the end of the line', async (t) => {
  const { output } = await run(t, 'drivers', [], { phase: 'warming' });
  t.regex(output, /^driver-2 +\S+ +warming +no +0 +- +1m30s +ImagePullBackOff$/m);
  t.notRegex(output, /driver-1/);
});

/** Drivers on two nodes, and what drains of them were asked. */
function nodes() {
  const drained: string[] = [];
  const names = ['a', 'b', 'c', 'd'];
  const options: AdminApiOptions = {
    records: names.map((uid) =>
      driverRecord(uid, uid === 'd' ? { phase: 'gone' } : uid === 'c' ? { variant: 'next' } : {}),
    ),
    observed: names.map((uid) => ({ uid, condition: 'ready', node: uid === 'a' ? 'n1' : 'n2' })),
    operations: {
      drain: async (uid, drainDeadlineMs) => {
        if (uid === 'b') throw new GatewayError('CONTROL_PLANE_UNAVAILABLE', 'Nobody leads.');
        drained.push(uid);
        return { uid, phase: 'draining', sessions: 1, drainDeadlineMs };
      },
    },
  };
  return { drained, options };
}

test('drain: all drivers of a node; what one is refused does not keep the others', async (t) => {
  const { drained, options } = nodes();
  const dry = await run(t, 'drain', [], { node: 'n2', 'dry-run': 'true' }, options);
  t.is(dry.output, 'Driver b would be drained.\nDriver c would be drained.\n');
  t.deepEqual(drained, []);
  const { output, exitCode } = await run(t, 'drain', [], { node: 'n2' }, options);
  t.deepEqual(drained, ['c']);
  t.regex(output, /^Driver c takes no new session.*\nDriver b: Nobody leads\.\n$/s);
  t.is(exitCode, 1);
});

const choices: readonly (readonly [Record<string, string>, string])[] = [
  [{ node: 'n1' }, 'a'],
  [{ template: 'next' }, 'c'],
  [{ namespace: 'sjns-ads-dev' }, 'a,b,c'],
  [{ namespace: 'sjns-ads-dev', node: 'n2', template: 'next' }, 'c'],
  [{ outdated: 'true' }, ''],
  [{ node: 'elsewhere' }, ''],
];
for (const [flags, expected] of choices) {
  test(`drain ${JSON.stringify(flags)} means ${expected || 'nobody'}`, async (t) => {
    const shown = { ...flags, 'dry-run': 'true', output: 'name' };
    const { output } = await run(t, 'drain', [], shown, nodes().options);
    t.is(output.replaceAll('driver/', '').trim().replaceAll('\n', ','), expected);
  });
}

test('one driver: with what its cluster says of it; that this cannot be read keeps nothing else', async (t) => {
  const at = new Date(START_MS).toISOString();
  const message = 'Back-off pulling image';
  const said = { at, type: 'Warning', reason: 'BackOff', object: 'Pod p1', message, count: 7 };
  const { output } = await run(
    t,
    'drivers',
    ['driver-1'],
    {},
    {
      driverEvents: ({ uid }) => Promise.resolve(uid === 'driver-1' ? [said] : []),
    },
  );
  t.regex(
    output,
    /^events:\n  1m30s ago  Warning  BackOff  Pod p1: Back-off pulling image \(7 times\)$/m,
  );
  const refused = await run(
    t,
    'drivers',
    ['driver-1'],
    {},
    {
      driverEvents: () => Promise.reject(new Error('events is forbidden')),
    },
  );
  t.regex(refused.output, /^driver: +driver-1$/m);
  t.regex(refused.output, /^events: events is forbidden$/m);
});

test('drivers: pod, node, variant and whether the template has changed', async (t) => {
  const { output } = await run(t, 'drivers', [], { output: 'wide' }, nodes().options);
  t.regex(output, /VARIANT.*POD.*NODE.*OUTDATED/);
  t.regex(output, /^c +\S+ +next .* n2 +no /m);
});

test('a watch goes on through a failover, and says once that nothing answers', async (t) => {
  const answers: (() => Promise<unknown>)[] = [
    () => Promise.resolve([]),
    () => Promise.reject(new GatewayError('ADMIN_API_UNREACHABLE', 'It cannot be reached.')),
    () => Promise.reject(new GatewayError('CONTROL_PLANE_UNAVAILABLE', 'Nobody leads.')),
    () => Promise.resolve([{ kind: 'unreadable', message: 'm', since: '2026-01-01T00:00:00Z' }]),
    () => Promise.reject(new GatewayError('TOKEN_EXPIRED', 'Your token has expired.')),
  ];
  const written: string[] = [];
  const said: string[] = [];
  const watching = runOnline(
    online('problems'),
    {
      client: {
        get: <T>() => (answers.shift()?.() ?? Promise.reject(new Error('too much'))) as Promise<T>,
        post: () => Promise.reject(new Error('nothing is done')),
      },
      operands: [],
      options: new Map([
        ['watch', 'true'],
        ['output', 'name'],
      ]),
      now: () => START_MS,
      pause: () => Promise.resolve(),
      print: () => undefined,
      say: (text) => void said.push(text),
    },
    { write: (text) => void written.push(text), width: () => undefined },
  );
  await t.throwsAsync(watching, { message: 'Your token has expired.' });
  t.deepEqual(written, ['', 'problem/unreadable/\n']);
  t.deepEqual(said, ['It cannot be reached. Trying again.']);
});

test('problems: what is wrong, about what, since when', async (t) => {
  const object = namespaceReference('sjns-ads-dev');
  const problems = [{ kind: 'pool_failing', object, message: 'No driver comes up' } as const];
  t.is(
    (await run(t, 'problems', [], {}, { problems })).output,
    'PROBLEM       ABOUT                   SINCE  WHAT\npool_failing  Namespace sjns-ads-dev  1m30s  No driver comes up\n',
  );
  t.is((await run(t, 'problems')).output, 'No problem is known.\n');
});

test('drivers: those that are gone are shown when they are asked for', async (t) => {
  const all = { records: [...records, driverRecord('driver-3', { phase: 'gone' })] };
  t.notRegex((await run(t, 'drivers', [], {}, all)).output, /driver-3/);
  t.regex((await run(t, 'drivers', [], { all: 'true' }, all)).output, /driver-3/);
  t.regex((await run(t, 'drivers', [], { phase: 'gone' }, all)).output, /driver-3/);
});

test('sessions and release: who has no role sees and ends their own', async (t) => {
  const released: string[] = [];
  const own = [sessionId(1), sessionId(2)];
  const options: AdminApiOptions & { readonly person: 'nobody' } = {
    person: 'nobody',
    recordsOf: (issuer) => [
      driverRecord('driver-1', {
        phase: 'in_use',
        sessions: Object.fromEntries(
          [...own, sessionId(3)].map((id) => {
            const subject = own.includes(id) ? 'nobody@example.com' : 'bob@example.com';
            return [id, sessionRecord(id, { principal: { issuer, subject } })];
          }),
        ),
      }),
    ],
    operations: {
      release: async (id) => {
        released.push(id);
        return { sessionId: id, driverUid: 'driver-1', end: 'released', endedAtMs: START_MS };
      },
    },
  };
  const { output } = await run(t, 'sessions', [], { output: 'name' }, options);
  t.is(output, `session/${own[0]}\nsession/${own[1]}\n`);
  t.regex((await run(t, 'sessions', [own[0] ?? ''], {}, options)).output, /nobody@example.com/);
  await t.throwsAsync(run(t, 'sessions', [sessionId(3)], {}, options), { message: /role "read"/ });
  await t.throwsAsync(run(t, 'release', [sessionId(3)], {}, options), { message: /role "admin"/ });
  await run(t, 'release', [own[0] ?? ''], {}, options);
  t.deepEqual(released.splice(0), [own[0]]);
  const all = await run(t, 'release', [], { mine: 'true' }, options);
  t.deepEqual(released, own);
  t.is(all.output.split('\n').length, 3);
});

test('one driver, by the beginning of its id', async (t) => {
  t.regex(
    (await run(t, 'drivers', ['driver-1'])).output,
    new RegExp(`  ${session.sessionId}  alice`),
  );
  await t.throwsAsync(run(t, 'drivers', ['driver']), { message: /beginning of 2 drivers/ });
});

test('pools, envoys and status', async (t) => {
  t.regex((await run(t, 'pools')).output, /^sjns-ads-dev +2 +4 +2 +1 +0 +1 +0 +1 /m);
  t.is((await run(t, 'envoys')).output, 'No Envoy is connected.\n');
  const envoys = [envoy('a')];
  const { output } = await run(t, 'status', [], {}, { envoys });
  t.regex(output, /^drivers: +1 warming, 1 in_use$/m);
  t.regex(output, /\nAll is well\.\n$/);
  t.regex((await run(t, 'status')).output, /no Envoy is connected: nobody is served/);
});

test('a replica that does not know the Envoys of others says so, and never that all is well', async (t) => {
  const options = { unknown: 'it has no certificate', envoys: [envoy('a', 'replica-b')] };
  const shown = await run(t, 'envoys', [], { output: 'wide' }, options);
  t.regex(shown.output, /replica-b/);
  t.regex(shown.output, /Envoys of other replicas are not known here: it has no certificate/);
  const none = { unknown: 'it has no certificate' };
  t.regex((await run(t, 'envoys', [], {}, none)).output, /No Envoy is connected to this replica/);
  const { output } = await run(t, 'status', [], {}, none);
  t.notRegex(output, /All is well/);
  t.regex(output, /of other replicas: nothing is known here: it has no certificate/);
});

test('drain: says what is left, and with --wait when it is over', async (t) => {
  const operations = {
    drain: async (uid: string, drainDeadlineMs: number | undefined) => {
      return { uid, phase: 'draining' as const, sessions: 1, drainDeadlineMs };
    },
  };
  const flags = { deadline: '10d' };
  const { output } = await run(t, 'drain', ['driver-1'], flags, { operations });
  t.is(
    output,
    'Driver driver-1 takes no new session; it has 1 session and ends them at 2023-11-24T22:13:20.000Z.\n',
  );
  const gone = {
    drain: async (uid: string) => {
      return { uid, phase: 'gone' as const, sessions: 0, drainDeadlineMs: undefined };
    },
  };
  const waited = await run(t, 'drain', ['driver-1'], { wait: 'true' }, { operations: gone });
  t.is(waited.output, 'Driver driver-1 has ended.\n');
});

test('evict --wait is over when a driver that someone else runs has no session', async (t) => {
  const operations = {
    evict: async (uid: string) => {
      return { uid, phase: 'draining' as const, sessions: 0, drainDeadlineMs: START_MS };
    },
  };
  const { output } = await run(t, 'evict', ['driver-2'], { wait: 'true' }, { operations });
  t.is(
    output,
    "Driver driver-2 has no session and takes no new one; it is not this gateway's to end.\n",
  );
});

test('--watch shows it until it is ended', async (t) => {
  await t.throwsAsync(run(t, 'pools', [], { watch: 'true' }), { message: 'enough' });
});

const deadlines: readonly (readonly [string, string | undefined])[] = [
  ['10m', new Date(START_MS + 600_000).toISOString()],
  ['2030-01-31T18:00:00Z', '2030-01-31T18:00:00.000Z'],
  ['2030-01-31T18:00:00+01:00', '2030-01-31T17:00:00.000Z'],
  ['2030-01-31T18:00:00', undefined],
  ['tomorrow', undefined],
];
for (const [written, expected] of deadlines) {
  test(`--deadline ${written} is ${expected ?? 'refused'}`, (t) => {
    if (expected) t.notThrows(() => checkDeadline(written));
    else t.throws(() => checkDeadline(written), { message: /allowed is a duration/ });
  });
}

test('policy explain: step by step; about yourself where nobody is named', async (t) => {
  const flags = { user: 'zoe@example.com', groups: 'x, y', team: 'ads', environment: 'dev' };
  const { output } = await run(t, 'policy explain', [], flags);
  t.regex(
    output,
    /^zoe@example\.com \(http.*, groups x, y\) is refused in sjns-ads-dev by policy /,
  );
  t.regex(output, /^NAMESPACE_REFUSED: /m);
  t.regex(output, /^ {2}target +passed/m);
  t.regex((await run(t, 'policy explain')).output, /^operator@example\.com /);
  await t.throwsAsync(run(t, 'policy explain', [], { user: 'zoe', claims: '{' }), {
    message: /this is not JSON/,
  });
});
