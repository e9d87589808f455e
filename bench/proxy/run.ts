/**
 * What the gateway costs an RPC and a stream: the same load to a driver directly, through a plain
 * Envoy, and through the whole gateway (Envoy, ext_authz with token and session, control plane), in
 * turns. Usage: npm run bench:proxy [-- rounds]
 */
import { fork, spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { stringify } from 'yaml';
import { findEnvoy } from '../../test/support/envoy.js';
import { Gateway } from '../../test/support/gateway.js';
import { unusedPort } from '../../test/support/unused-port.js';
import type { Load, LoadResult } from './load.js';
import { plainEnvoy } from './plain-envoy.js';
import { unusedAddress } from '../../test/support/loopback.js';

const SESSION = '5f0c1f5e-3c1d-4a52-9d0a-6f1f6b9f4a11';
const ADDRESS = await unusedAddress();

interface Contender {
  readonly name: string;
  readonly target: string;
  readonly headers: Readonly<Record<string, string>>;
}

interface Measure {
  readonly title: string;
  readonly load: Pick<Load, 'kind' | 'outstanding' | 'count' | 'messages'>;
  readonly value: (result: LoadResult) => number;
  readonly unit: string;
}

const rounds = Number(process.argv[2] ?? 5);

const measures: readonly Measure[] = [
  {
    title: 'small RPC, one at a time: median latency',
    load: { kind: 'small', outstanding: 1, count: 2000, messages: 0 },
    value: ({ latenciesMs }) => percentile(latenciesMs, 0.5) * 1000,
    unit: 'µs',
  },
  {
    title: 'small RPC, one at a time: p99 latency',
    load: { kind: 'small', outstanding: 1, count: 2000, messages: 0 },
    value: ({ latenciesMs }) => percentile(latenciesMs, 0.99) * 1000,
    unit: 'µs',
  },
  {
    title: 'small RPC, 32 outstanding',
    load: { kind: 'small', outstanding: 32, count: 20_000, messages: 0 },
    value: ({ seconds }) => 20_000 / seconds,
    unit: 'RPC/s',
  },
  {
    title: 'one stream of 1 MiB messages',
    load: { kind: 'stream', outstanding: 1, count: 1, messages: 512 },
    value: ({ seconds, bytes }) => bytes / 2 ** 20 / seconds,
    unit: 'MiB/s',
  },
];

const folder = mkdtempSync(join(tmpdir(), 'bench-proxy-'));
const children: ChildProcess[] = [];
let gateway: Gateway | undefined;
try {
  const port = await unusedPort(ADDRESS);
  children.push(await started(forked('driver.js', [ADDRESS, String(port)])));
  const driversFile = join(folder, 'drivers.yaml');
  writeFileSync(
    driversFile,
    stringify({
      drivers: [{ name: 'bench', namespace: 'sjns-data-dev', address: ADDRESS, port }],
    }),
  );
  gateway = await Gateway.start({
    settings: { drivers: { source: 'static', static_file: driversFile } },
  });
  const envoyPort = await unusedPort();
  const bootstrap = join(folder, 'envoy.json');
  writeFileSync(bootstrap, plainEnvoy(envoyPort, { address: ADDRESS, port }));
  const envoy = spawn(
    findEnvoy(),
    ['--config-path', bootstrap, '--disable-hot-restart', '--concurrency', '1', '-l', 'error'],
    { stdio: 'ignore' },
  );
  children.push(envoy);
  const contenders: readonly Contender[] = [
    { name: 'direct', target: `http://${ADDRESS}:${port}`, headers: {} },
    { name: 'plain Envoy', target: `http://127.0.0.1:${envoyPort}`, headers: {} },
    {
      name: 'gateway',
      target: `http://127.0.0.1:${gateway.port}`,
      headers: {
        authorization: `Bearer ${await gateway.token('alice')}`,
        'x-doordash-team': 'data',
        'x-doordash-environment': 'dev',
      },
    },
  ];
  const load = forked('load.js', []);
  children.push(load);
  await reachable(load, contenders);
  console.log(`${rounds} interleaved rounds; medians; in brackets the ratio to direct\n`);
  console.log(`| | ${contenders.map(({ name }) => name).join(' | ')} |`);
  console.log(`|---|${contenders.map(() => '---|').join('')}`);
  for (const measure of measures) console.log(await row(load, contenders, measure));
} finally {
  for (const child of children) child.kill('SIGKILL');
  await gateway?.stop();
  rmSync(folder, { recursive: true, force: true });
}
process.exit();

/** One line of the table. */
async function row(
  load: ChildProcess,
  contenders: readonly Contender[],
  { title, load: kind, value, unit }: Measure,
): Promise<string> {
  const values = contenders.map((): number[] => []);
  for (let round = 0; round <= rounds; round++) {
    for (const [index, contender] of contenders.entries()) {
      const result = value(await send(load, contender, kind));
      // The first round warms up.
      if (round > 0) values[index]?.push(result);
    }
  }
  const medians = values.map((all) =>
    percentile(
      all.toSorted((a, b) => a - b),
      0.5,
    ),
  );
  const [direct = 1] = medians;
  const cells = medians.map((median, index) =>
    index === 0
      ? `${Math.round(median)} ${unit}`
      : `${Math.round(median)} ${unit} (${(median / direct).toFixed(2)})`,
  );
  return `| ${title} | ${cells.join(' | ')} |`;
}

async function send(
  load: ChildProcess,
  { target, headers }: Contender,
  kind: Measure['load'],
): Promise<LoadResult> {
  load.send({ target, headers, sessionId: SESSION, ...kind });
  const [answer] = (await once(load, 'message')) as [LoadResult | { readonly failure: string }];
  if ('failure' in answer) throw new Error(`${target}: ${answer.failure}`);
  return answer;
}

/** Opens the session, and waits until each contender answers. */
async function reachable(load: ChildProcess, contenders: readonly Contender[]): Promise<void> {
  for (const contender of contenders) {
    for (;;) {
      const answered = await send(load, contender, {
        kind: 'assign',
        outstanding: 1,
        count: 1,
        messages: 0,
      }).catch(() => undefined);
      if (answered) break;
    }
  }
}

function forked(program: string, args: readonly string[]): ChildProcess {
  return fork(fileURLToPath(new URL(program, import.meta.url)), args, { execArgv: [] });
}

async function started(child: ChildProcess): Promise<ChildProcess> {
  await once(child, 'message');
  return child;
}

function percentile(ascending: readonly number[], share: number): number {
  return ascending[Math.min(ascending.length - 1, Math.floor(ascending.length * share))] ?? NaN;
}
