/**
 * What the gateway costs an RPC and a stream: the same load to a driver directly, through a plain
 * Envoy, through the whole gateway (Envoy, ext_authz with token and session, control plane) and, where
 * RUST_GATEWAY_BIN names it, through apache/spark-connect-gateway, in turns; and the processor time of
 * each process between client and driver. 100 sessions, each with a connection and a driver of its own,
 * as clients have. Usage: npm run bench:proxy [-- rounds [views]]
 *   views   of: latency cpu rate; all when none is named
 */
import { fork, spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { stringify } from 'yaml';
import { findEnvoy } from '../../test/support/envoy.js';
import { Gateway } from '../../test/support/gateway.js';
import { routingPolicy } from '../../test/support/routing-policy.js';
import { unusedPort } from '../../test/support/unused-port.js';
import { cpuMicros } from '../cpu.js';
import { keepApart, type Server, serversOf } from './servers.js';
import type { Load, LoadResult } from './load.js';
import { median } from '../median.js';
import { plainEnvoy } from './plain-envoy.js';
import { headersFor } from './rpc.js';
import { rustGateway, rustGatewayBin } from './rust-gateway.js';
import { unusedAddress } from '../../test/support/loopback.js';

/** RPCs before anything is measured. */
const WARM_UP = 5_000;
/** Each with a client's connection and a driver of its own. */
const SESSIONS = 100;
const addresses = await Promise.all(Array.from({ length: SESSIONS }, unusedAddress));
const [firstAddress = ''] = addresses;

interface Contender {
  readonly name: string;
  /** Processes between client and driver, by what they are. */
  readonly servers: readonly Server[];
  /** For each session. */
  readonly targets: readonly string[];
  readonly headers: Readonly<Record<string, string>>;
}

interface Measure {
  readonly title: string;
  readonly load: Pick<Load, 'kind' | 'outstanding' | 'count' | 'messages' | 'perSecond'>;
  readonly value: (result: LoadResult) => number;
  readonly unit: string;
}

const [given = '5', ...views] = process.argv.slice(2);
const rounds = Number(given);
const isAsked = (view: 'latency' | 'cpu' | 'rate') => views.length === 0 || views.includes(view);

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

/** Whose processor time and latency are told of; `count`: how many of them make a round of processor time. */
const rpcs = [
  { name: 'ReleaseExecute', kind: 'small', count: 20_000 },
  { name: 'Config', kind: 'assign', count: 10_000 },
  // No lease is for it.
  { name: 'AnalyzePlan', kind: 'asked', count: 10_000 },
] as const;
/**
 * RPCs of a contender before it is the other's turn. Leases have ended meanwhile: of so many RPCs about as many
 * ask for one as do when the RPCs never pause.
 */
const SLICE = 10_000;
/** Within it the records of what has ended are sent and written, which is part of what they cost. */
const RECORDS_MS = 300;
/** How long servers are watched at rest, so that what they cost in that time is not taken for the RPCs'. */
const REST_MS = 3_000;
/** Begun each second. */
const RATE = 500;

const folder = mkdtempSync(join(tmpdir(), 'bench-proxy-'));
const children: ChildProcess[] = [];
let gateway: Gateway | undefined;
try {
  const port = await unusedPort(firstAddress);
  const driver = await started(forked('driver.js', [String(port), ...addresses]));
  const driversFile = join(folder, 'drivers.yaml');
  writeFileSync(
    driversFile,
    stringify({
      drivers: addresses.map((address, index) => ({
        name: `bench-${index}`,
        namespace: 'sjns-data-dev',
        address,
        port,
      })),
    }),
  );
  gateway = await Gateway.start({
    policy: routingPolicy({}),
    settings: { drivers: { source: 'static', static_file: driversFile } },
  });
  const drivers = addresses.map((address) => ({ address, port }));
  const envoyPort = await unusedPort();
  const bootstrap = join(folder, 'envoy.json');
  writeFileSync(bootstrap, plainEnvoy(envoyPort, drivers));
  const envoy = spawned(findEnvoy(), [
    '--config-path',
    bootstrap,
    '--disable-hot-restart',
    '--concurrency',
    '1',
    '-l',
    'error',
  ]);
  // A client sends the same, whoever is in between.
  const headers = await headersFor(gateway);
  const contenders: Contender[] = [
    {
      name: 'direct',
      targets: addresses.map((address) => `http://${address}:${port}`),
      headers,
      servers: [],
    },
    {
      name: 'plain Envoy',
      targets: forEach(`http://127.0.0.1:${envoyPort}`),
      headers,
      servers: [{ name: 'Envoy', pid: envoy.pid ?? 0 }],
    },
    {
      name: 'gateway',
      servers: serversOf(gateway.folder),
      targets: forEach(`http://127.0.0.1:${gateway.port}`),
      headers,
    },
  ];
  if (rustGatewayBin !== undefined) {
    const rustPort = await unusedPort();
    const configuration = join(folder, 'rust-gateway.yaml');
    writeFileSync(configuration, rustGateway(rustPort, drivers, await gateway.token('alice')));
    const { pid = 0 } = spawned(rustGatewayBin, ['--config', configuration]);
    contenders.push({
      name: 'Rust gateway',
      servers: [{ name: 'gateway', pid }],
      targets: forEach(`http://127.0.0.1:${rustPort}`),
      headers,
    });
  }
  const load = forked('load.js', []);
  await reachable(load, contenders);
  console.log(`${rounds} interleaved rounds; medians`);
  if (isAsked('latency')) {
    console.log('\nIn brackets the ratio to direct\n');
    console.log(`| | ${contenders.map(({ name }) => name).join(' | ')} |`);
    console.log(`|---|${contenders.map(() => '---|').join('')}`);
    for (const measure of measures) console.log(await row(load, contenders, measure));
  }
  const proxies = contenders.filter(({ servers }) => servers.length > 0);
  keepApart(
    proxies.flatMap(({ servers }) => servers.map(({ pid }) => pid)),
    [driver, load].map(({ pid = 0 }) => pid),
  );
  if (isAsked('cpu')) {
    console.log(
      "\nCPU of the servers for each RPC, µs; in brackets the median of the rounds' ratios to plain Envoy\n",
    );
    console.log(`| | ${proxies.map(({ name }) => name).join(' | ')} |`);
    console.log(`|---|${proxies.map(() => '---|').join('')}`);
    for (const each of rpcs) console.log(await costRow(load, proxies, each));
  }
  if (isAsked('rate')) {
    console.log(
      `\n${RATE} RPC/s, open loop: plain Envoy's latency, and what others add to it in a round, ms\n`,
    );
    const [plain, ...others] = proxies.map(({ name }) => name);
    const titles = [`${plain} p50`, 'p99', ...others.flatMap((name) => [`${name} p50`, 'p99'])];
    console.log(`| | ${titles.join(' | ')} |`);
    console.log(`|---|${titles.map(() => '---|').join('')}`);
    for (const each of rpcs) console.log(await rateRow(load, proxies, each));
  }
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
  const cells = medians.map((one, index) =>
    index === 0
      ? `${Math.round(one)} ${unit}`
      : `${Math.round(one)} ${unit} (${(one / direct).toFixed(2)})`,
  );
  return `| ${title} | ${cells.join(' | ')} |`;
}

/** CPU of each process for each RPC, and of all together as a ratio to the first contender's. */
async function costRow(
  load: ChildProcess,
  contenders: readonly Contender[],
  { name, kind, count }: (typeof rpcs)[number],
): Promise<string> {
  const spent = contenders.map((): number[][] => []);
  const atRest = await restMicros(contenders);
  for (let round = 0; round <= rounds; round++) {
    const sums = contenders.map(({ servers }) => servers.map(() => 0));
    for (let slice = 0; slice < count / SLICE; slice++) {
      // What the machine does besides meets each of them, and none always first.
      const order = [...contenders.keys()];
      for (const index of (round + slice) % 2 === 0 ? order : order.toReversed()) {
        const contender = contenders[index];
        if (contender === undefined) continue;
        const micros = await turn(load, contender, kind, atRest[index] ?? []);
        sums[index] = micros.map((one, server) => one + (sums[index]?.[server] ?? 0));
      }
    }
    if (round === 0) continue;
    for (const [index, own] of sums.entries()) spent[index]?.push(own.map((sum) => sum / count));
  }
  const cells = contenders.map(({ servers }, index) => {
    const all = spent[index] ?? [];
    const ratio = median(
      all.map((each, round) => total(each) / total(spent[0]?.[round] ?? [])),
    ).toFixed(2);
    const parts = servers
      .map(
        (one, server) => `${one.name} ${median(all.map((each) => each[server] ?? 0)).toFixed(1)}`,
      )
      .join(', ');
    return index === 0 ? parts : `${median(all.map(total)).toFixed(1)} (${ratio}): ${parts}`;
  });
  return `| ${name}, 32 outstanding | ${cells.join(' | ')} |`;
}

/** What one turn costs each server of a contender, microseconds. */
async function turn(
  load: ChildProcess,
  contender: Contender,
  kind: Load['kind'],
  atRest: readonly number[],
): Promise<number[]> {
  const before = contender.servers.map(({ pid }) => cpuMicros(pid));
  await send(load, contender, { kind, outstanding: 32, count: SLICE, messages: 0 });
  await pause(RECORDS_MS);
  return contender.servers.map(
    ({ pid }, server) => cpuMicros(pid) - (before[server] ?? 0) - (atRest[server] ?? 0),
  );
}

/** What each server costs in `RECORDS_MS` when nobody asks it anything. */
async function restMicros(contenders: readonly Contender[]): Promise<readonly number[][]> {
  const now = () => contenders.map(({ servers }) => servers.map(({ pid }) => cpuMicros(pid)));
  await pause(RECORDS_MS);
  const before = now();
  await pause(REST_MS);
  return now().map((all, index) =>
    all.map((micros, server) => (micros - (before[index]?.[server] ?? 0)) * (RECORDS_MS / REST_MS)),
  );
}

function total(each: readonly number[]): number {
  return each.reduce((sum, one) => sum + one, 0);
}

/** Latency of the first contender, and in each round what it is longer for the others. */
async function rateRow(
  load: ChildProcess,
  contenders: readonly Contender[],
  { name, kind }: (typeof rpcs)[number],
): Promise<string> {
  const shares = [0.5, 0.99];
  const found = contenders.map(() => shares.map((): number[] => []));
  for (let round = 0; round <= rounds; round++) {
    let plain: readonly number[] = [];
    for (const [index, contender] of contenders.entries()) {
      const asked = { kind, outstanding: 0, perSecond: RATE, count: RATE * 4, messages: 0 };
      const { latenciesMs } = await send(load, contender, asked);
      if (index === 0) plain = latenciesMs;
      if (round === 0) continue;
      for (const [at, share] of shares.entries()) {
        const over = index === 0 ? 0 : percentile(plain, share);
        found[index]?.[at]?.push(percentile(latenciesMs, share) - over);
      }
    }
  }
  const cells = found.flat().map((all) => median(all).toFixed(2));
  return `| ${name} | ${cells.join(' | ')} |`;
}

async function send(
  load: ChildProcess,
  { name, targets, headers }: Contender,
  kind: Measure['load'],
): Promise<LoadResult> {
  load.send({ targets, headers, ...kind });
  const [answer] = (await once(load, 'message')) as [LoadResult | { readonly failure: string }];
  if ('failure' in answer) throw new Error(`${name}: ${answer.failure}`);
  return answer;
}

function forEach<T>(value: T): readonly T[] {
  return Array.from({ length: SESSIONS }, () => value);
}

/** Opens the sessions, waits until each contender answers, and has it compile what it runs all day. */
async function reachable(load: ChildProcess, contenders: readonly Contender[]): Promise<void> {
  const giveUpAtMs = Date.now() + 30_000;
  const asked = { kind: 'assign', outstanding: 1, count: SESSIONS, messages: 0 } as const;
  for (const contender of contenders) {
    const answered = () =>
      send(load, contender, asked).then(
        () => true,
        (error: unknown) => {
          if (Date.now() > giveUpAtMs) throw error;
          return false;
        },
      );
    while (!(await answered()));
    await send(load, contender, { kind: 'assign', outstanding: 32, count: WARM_UP, messages: 0 });
  }
}

/** A program of this bench's; it ends with the bench. */
function forked(program: string, args: readonly string[]): ChildProcess {
  const child = fork(fileURLToPath(new URL(program, import.meta.url)), args, { execArgv: [] });
  children.push(child);
  return child;
}

/** A server that says nothing; it ends with the bench. */
function spawned(program: string, args: readonly string[]): ChildProcess {
  const child = spawn(program, args, { stdio: 'ignore' });
  children.push(child);
  return child;
}

async function started(child: ChildProcess): Promise<ChildProcess> {
  await once(child, 'message');
  return child;
}

function percentile(ascending: readonly number[], share: number): number {
  return ascending[Math.min(ascending.length - 1, Math.floor(ascending.length * share))] ?? NaN;
}
