import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import test, { type ExecutionContext } from 'ava';
import { connect } from '../../src/cli/admin-client.js';
import { commands, findCommand } from '../../src/cli/commands.js';
import { runOnline } from '../../src/cli/online.js';
import { parseCommandLine } from '../../src/cli/parse.js';
import type { Operations } from '../../src/model/administration.js';
import { problemKinds } from '../../src/model/fleet-problem.js';
import type { NodeStatus, PoolReport } from '../../src/model/reports.js';
import { startAdminApi } from '../support/admin-api.js';
import {
  bob,
  driverRecord,
  NAMESPACE,
  sessionRecord,
  START_MS,
} from '../support/driver-records.js';

// What the documents tell people to type is taken, and what they show is what comes.

const documents = ['README.md', ...readdirSync('docs').map((name) => join('docs', name))]
  .filter((path) => path.endsWith('.md'))
  .map((path) => ({ path, text: readFileSync(path, 'utf8') }));

/** The words of a command, as a shell takes them apart, up to what is not the command's any more. */
function wordsOf(command: string): string[] {
  const [own = ''] = command.split(/ [|&>#] | # | < /);
  return [...own.matchAll(/(?:[^\s"']+|"[^"]*"|'[^']*')+/g)].map(([word]) =>
    word.replaceAll(/"([^"]*)"|'([^']*)'/g, '$1$2'),
  );
}

/** Commands within lines of text and in blocks, which may go on after a backslash. */
function commandsOf(text: string): string[] {
  const [whole, blocks]: [string, string[]] = [text.replaceAll('\\\n', ' '), []];
  const rest = whole.replaceAll(/^```\w*\n([\s\S]*?)^```$/gm, (_, block: string) => {
    blocks.push(...block.split('\n'));
    return '';
  });
  const inline = [...rest.matchAll(/`([^`]+)`/g)].map(([, code = '']) =>
    code.replaceAll('\n', ' '),
  );
  return [...blocks, ...inline].flatMap((line) => {
    const found = /^(?:\$ )?(?:npx )?spark-gateway ([a-z].*)$/.exec(line.trim());
    return found?.[1] === undefined ? [] : [found[1]];
  });
}

test('every command that a document names is one, with options and operands that it takes', (t) => {
  let count = 0;
  for (const { path, text } of documents) {
    for (const command of commandsOf(text)) {
      const words = wordsOf(command);
      count += 1;
      // Within a sentence a command goes by its name, without what it needs.
      if (commands.some(({ name }) => name === words.join(' '))) continue;
      const line = parseCommandLine(words, {});
      t.is(line.kind, 'run', `${path}: spark-gateway ${command}: ${JSON.stringify(line)}`);
    }
  }
  t.true(count > 60, `${count}`);
});

const HOLDER = '693723db-fdeb-4f72-9917-f394f246d197';
const SESSION = '75fd99c4-6822-4c9a-94e8-e2e1c4737f69';
const others = ['5eb6b6ad-aad1-4e13-b7fc-bc5dfa33e627', 'f7b3b7ab-6f2d-4c57-8a2a-0f2d2b7c9d10'];

const pool: PoolReport = {
  namespace: NAMESPACE,
  variant: undefined,
  drivers: 3,
  maximum: 4,
  warming: 0,
  failure: undefined,
  retryInMs: undefined,
  size: 2,
  waiting: 0,
  available: 2,
  inUse: 1,
  draining: 0,
  sessions: 1,
};

const laptop: NodeStatus = {
  id: 'laptop',
  cluster: 'front',
  view: 'front',
  remoteAddress: '127.0.0.1:4711',
  protocol: 'delta',
  aggregated: true,
  connectedAtMs: START_MS,
  types: [
    'Cluster',
    'ClusterLoadAssignment',
    'Listener',
    'RouteConfiguration',
    'TypedExtensionConfig',
  ].map((name) => ({
    typeUrl: `type.googleapis.com/envoy.any.v3.${name}`,
    state: 'SYNCED',
    version: 'v1',
    lastAckMs: START_MS,
    wildcard: true,
    names: 0,
    error: undefined,
  })),
};

/** The gateway of the examples: one session of Bob's on one of three drivers. */
async function gateway(t: ExecutionContext) {
  const operations: Partial<Operations> = {
    drain: async (uid, drainDeadlineMs) => ({
      uid,
      phase: 'draining',
      sessions: 1,
      drainDeadlineMs,
    }),
    release: async (sessionId) => ({
      sessionId,
      driverUid: HOLDER,
      end: 'released',
      endedAtMs: START_MS,
    }),
  };
  const ofBob = { principal: bob, userId: 'bob', team: 'data' };
  const api = await startAdminApi(t, {
    records: [
      driverRecord(HOLDER, {
        phase: 'in_use',
        tenant: { principal: bob, team: 'data' },
        sessions: { [SESSION]: sessionRecord(SESSION, ofBob) },
      }),
      ...others.map((uid) => driverRecord(uid)),
    ],
    observed: [HOLDER, ...others].map((uid) => ({ uid, condition: 'ready' as const })),
    fleet: { pools: [pool] },
    envoys: [laptop],
    activity: () => ({ lastActiveMs: START_MS, openStreams: 0 }),
    sidecars: [
      {
        sidecarId: 's1',
        name: 'laptop',
        connected: true,
        lastSeenMs: START_MS,
        policy: { version: 'a98ff4b0efa3', problem: undefined, shadow: undefined },
        leaseEndsMs: START_MS + 60_000,
        pendingNotices: 0,
      },
    ],
    operations,
  });
  return async (words: readonly string[]): Promise<string> => {
    const line = parseCommandLine([...words, '--server', api.url], {});
    if (line.kind !== 'run') throw new TypeError(words.join(' '));
    const command = findCommand(line.name);
    if (command.online !== true) throw new TypeError(`${line.name} asks no gateway`);
    const { operands, options } = line;
    const client = await connect({
      options,
      env: { SPARK_GATEWAY_TOKEN: await api.tokenOf('operator') },
      settingsUrl: '',
      issuerUrl: undefined,
      settingsNamed: false,
      login: async () => undefined,
    });
    let output = '';
    await runOnline(
      command,
      {
        client,
        operands,
        options,
        now: () => START_MS + 30_000,
        pause: () => Promise.reject(new Error('nothing is waited for')),
        say: () => undefined,
        print: (text) => void (output += text),
      },
      { write: (text) => void (output += text), width: () => undefined },
    );
    return output;
  };
}

/** Without what is another one at each gateway: ids, versions, people, places, times, widths of columns. */
function shape(text: string): string[] {
  return text
    .trimEnd()
    .split('\n')
    .map((line) =>
      line
        .replaceAll(/\d{4}-\d\d-\d\dT[\d:.]+Z/g, 'TIME')
        .replaceAll(/\b[0-9a-f]{8}(-[0-9a-f-]{27})?\b|\b[0-9a-f]{12}\b/g, 'ID')
        .replaceAll(/\b(\d+[dhms])+\b/g, 'SPAN')
        .replaceAll(/https?:\/\/[\w.:]+/g, 'URL')
        .replaceAll(/\bbob@example\.com|\bbob\b/g, 'bob')
        .replaceAll(/\bsjns-\w+-dev\b/g, 'NAMESPACE')
        .replaceAll(/\b\d+\.\d+\.\d+\b/g, 'RELEASE')
        .replaceAll(/epoch \d+/g, 'epoch N')
        .replaceAll(/ +/g, ' ')
        .trimEnd(),
    );
}

test('what docs/cli.md shows is what a gateway answers', async (t) => {
  const run = await gateway(t);
  const text = documents.find(({ path }) => path === 'docs/cli.md')?.text ?? '';
  const examples = [...text.matchAll(/^\$ spark-gateway (.+)\n((?:(?!\$ |```).*\n)+)/gm)];
  const shown: string[] = [];
  for (const [, command = '', output = ''] of examples) {
    const words = wordsOf(command);
    const { online } = commands.find(({ name }) => name === words[0]) ?? {};
    // What is waited for is not over here, and what a policy says has tests of its own.
    if (online !== true || words.includes('--wait') || words[0] === 'policy') continue;
    t.deepEqual(shape(await run(words)), shape(output), command);
    shown.push(command);
  }
  t.true(shown.length >= 9, shown.join('; '));
});

// The tables that say what happens when something fails: each row names the tests that it is true by.

const tables = [
  ['docs/ARCHITECTURE.md', '## What happens when something fails'],
  ['docs/OPERATIONS.md', '## Failures'],
  ['docs/kubernetes.md', '## When something is wrong'],
  ['docs/kubernetes.md', '## When something is away'],
] as const;

/** The cells of the first table below a heading, without those of its head. */
function rowsBelow(file: string, heading: string): readonly (readonly string[])[] {
  const [, below = ''] = readFileSync(file, 'utf8').split(`\n${heading}\n`);
  const lines = below.split('\n');
  const first = lines.findIndex((line) => line.startsWith('|'));
  const end = lines.findIndex((line, at) => at > first && !line.startsWith('|'));
  return lines
    .slice(first + 2, end)
    .map((line) => line.split(' | ').map((cell) => cell.replaceAll(/^\| |\|$/g, '').trim()));
}

for (const [file, heading] of tables) {
  test(`each row of "${heading}" in ${file} names tests that there are`, (t) => {
    const rows = rowsBelow(file, heading);
    t.true(rows.length > 10);
    for (const [what = '', ...cells] of rows) {
      const named = [...(cells.at(-1) ?? '').matchAll(/`([^`]+\.test\.ts)`/g)];
      t.true(named.length > 0, what);
      for (const [, path = ''] of named) t.true(existsSync(join('test', path)), path);
    }
  });
}

/** Of a file of drivers, which there is not on Kubernetes. */
const ELSEWHERE = new Set<string>(['static_drivers_invalid']);

test('every kind of problem that there is on Kubernetes has its row', (t) => {
  const rows = rowsBelow('docs/kubernetes.md', '## When something is wrong');
  const told = rows.map(([kind = '']) => /`(\w+)`/.exec(kind)?.[1] ?? '');
  const kinds = problemKinds.filter((kind) => !ELSEWHERE.has(kind));
  t.deepEqual(told.toSorted(), kinds.toSorted());
});
