/**
 * npm run bench:authz: what a check costs for a session and a token that are known, as almost every
 * check's are. All contenders run on one core and are asked in turns from another one, in short slices,
 * so that what else the machine does falls on all of them alike. Prints medians of the slices: the
 * processor time of a check holds on a busy machine, too, the rest only on one that does nothing else.
 *
 * Arguments: rounds (default 15), checks in each slice (default 10,000), sessions (default 2,000; ten
 * share a token). BENCH_NODE: another node to run this gateway's service with; it alone is compared then.
 */
import { spawn, spawnSync, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { toBinary } from '@bufbuild/protobuf';
import { CheckRequestSchema } from '#gen/envoy/service/auth/v3/external_auth_pb.js';
import { checkRequest, sparkBody } from '../../test/support/check-client.js';
import { frame } from '../../test/support/spark-messages.js';
import { TokenIssuer } from '../../test/support/token-issuer.js';
import { NODE_OPTIONS } from '../../src/processes/process.js';
import { cpuMicros, onCore } from '../cpu.js';
import { median } from '../median.js';
import type { LoadResult, LoadSlice, LoadStart } from './load.js';

interface Contender {
  readonly name: string;
  readonly command: string;
  readonly args: readonly string[];
}

type Measured = LoadResult & { readonly cpuUs: number };

/** As busy Envoys ask, and as one that has nothing else to do. */
const OUTSTANDING = [64, 1];

const rounds = Number(process.argv[2] ?? 15);
const checks = Number(process.argv[3] ?? 10_000);
const sessions = Number(process.argv[4] ?? 2000);
const SESSIONS_PER_TOKEN = 10;
/** Until everything is compiled that will be. */
const warmUpChecks = Math.max(20_000, checks, 4 * sessions);
const directory = mkdtempSync(join(tmpdir(), 'bench-authz-'));
const here = (path: string) => fileURLToPath(new URL(path, import.meta.url));
const source = (path: string) =>
  fileURLToPath(new URL(`../../../bench/authz/${path}`, import.meta.url));
const children: ChildProcess[] = [];

function ofNode(name: string, script: string, ...args: string[]): Contender {
  return { name, command: process.execPath, args: [here(`servers/${script}`), ...args] };
}

function contenders(otherNode: string | undefined): Contender[] {
  const ours = [
    ofNode('this gateway', 'gateway.js'),
    ofNode('this gateway, with its metrics and a policy', 'gateway.js', 'deployed'),
  ];
  if (otherNode !== undefined) {
    const on = (one: Contender) => ({
      ...one,
      name: `${one.name}, the other node`,
      command: otherNode,
    });
    return [...ours, ...ours.map(on)];
  }
  const list = [
    ...ours,
    ofNode('node:http2, same decision and codec', 'node-http2.js'),
    ofNode('grpc-js, same decision and codec', 'grpc-js.js', 'handwritten'),
    ofNode('grpc-js, same decision, generated messages', 'grpc-js.js', 'generated'),
  ];
  const binary = join(directory, 'authz-go');
  const built = spawnSync('go', ['build', '-o', binary, '.'], { cwd: source('go') });
  if (built.status === 0) list.push({ name: 'Go, token LRU', command: binary, args: [] });
  else {
    const why = built.error ? 'Go is not installed' : built.stderr.toString().trim();
    process.stdout.write(`Left out: the Go service (${why}).\n`);
  }
  return list;
}

/** Runs a command on one core where the machine has several and can pin. */
function pinned(core: number, command: string, args: readonly string[]): ChildProcess {
  const [program, ...rest] = onCore(core, [command, ...args]);
  const child = spawn(program, rest, {
    env: { ...process.env, GOMAXPROCS: '1', NODE_ENV: 'production' },
    stdio: ['ignore', 'pipe', 'inherit', 'ipc'],
  });
  children.push(child);
  return child;
}

async function startServer(contender: Contender, socket: string, issuer: TokenIssuer) {
  const subject = JSON.stringify({ issuer: issuer.policy(), socket });
  const [script, ...rest] = contender.args;
  const args = script === undefined ? [subject] : [...NODE_OPTIONS, script, subject, ...rest];
  const server = pinned(0, contender.command, args);
  const ready = await Promise.race([
    server.stdout && once(server.stdout, 'data'),
    once(server, 'exit').then(() => undefined),
  ]);
  if (!ready) throw new Error(`${contender.name} does not start`);
  return server;
}

/** Checks of known sessions, framed. */
async function framedChecks(issuer: TokenIssuer): Promise<string[]> {
  const tokens = await Promise.all(
    Array.from({ length: Math.ceil(sessions / SESSIONS_PER_TOKEN) }, (_, i) =>
      issuer.token(Date.now(), { jti: `${i}` }),
    ),
  );
  return Array.from({ length: sessions }, (_, i) => {
    const session = `00000000-0000-4000-8000-${String(i).padStart(12, '0')}`;
    const request = checkRequest({
      // As clients do: most requests release what they have read.
      method: i % 10 === 0 ? 'ExecutePlan' : 'ReleaseExecute',
      token: tokens[i % tokens.length] ?? '',
      body: sparkBody('ann@example.com', session),
      headers: {
        'content-type': 'application/grpc',
        'x-doordash-user': 'ann',
        'x-request-id': '3c1b1a4e-52a5-4b8e-8c35-9d2c7a7b8a01',
      },
    });
    return frame(toBinary(CheckRequestSchema, request)).toString('base64');
  });
}

async function measure(
  server: ChildProcess,
  load: ChildProcess,
  slice: LoadSlice,
): Promise<Measured> {
  const before = cpuMicros(server.pid ?? 0);
  load.send(slice);
  const [result] = (await once(load, 'message')) as [LoadResult];
  if (result.failures > 0) throw new Error(`server ${slice.server}: ${result.failures} failures`);
  return { ...result, cpuUs: (cpuMicros(server.pid ?? 0) - before) / slice.count };
}

function printTable(
  outstanding: number,
  list: readonly Contender[],
  results: readonly (readonly Measured[])[],
): void {
  const [ours = []] = results;
  process.stdout.write(
    `\n| ${outstanding} outstanding | CPU for each | ratio to this gateway | checks/s | p50 | p99 |\n|---|---|---|---|---|---|\n`,
  );
  for (const [i, { name }] of list.entries()) {
    const all = results[i] ?? [];
    const of = (pick: (one: Measured) => number) => median(all.map(pick));
    // Of slices that were measured one after the other, so that the machine was the same for both.
    const ratio = median(all.map((one, round) => one.cpuUs / (ours[round]?.cpuUs ?? 0)));
    process.stdout.write(
      `| ${name} | ${of((one) => one.cpuUs).toFixed(1)} µs | ${ratio.toFixed(2)}× | ${Math.round(of((one) => one.perSecond)).toLocaleString('en')} | ${of((one) => one.p50Ms).toFixed(2)} ms | ${of((one) => one.p99Ms).toFixed(2)} ms |\n`,
    );
  }
}

async function main(): Promise<void> {
  const issuer = await TokenIssuer.start('bench', '127.0.0.1');
  const list = contenders(process.env['BENCH_NODE']);
  const sockets = list.map((_, i) => join(directory, `${i}.sock`));
  const servers: ChildProcess[] = [];
  for (const [i, contender] of list.entries()) {
    servers.push(await startServer(contender, sockets[i] ?? '', issuer));
  }
  const load = pinned(1, process.execPath, [here('load.js')]);
  load.send({ sockets, messages: await framedChecks(issuer) } satisfies LoadStart);
  for (const [server, child] of servers.entries()) {
    await measure(child, load, { server, count: warmUpChecks, outstanding: 64 });
  }
  for (const outstanding of OUTSTANDING) {
    const results = list.map((): Measured[] => []);
    // One at a time a check takes as long as a wake-up of both sides.
    const count = outstanding === 1 ? Math.ceil(checks / 4) : checks;
    for (let round = 0; round < rounds; round++) {
      for (const [server, child] of servers.entries()) {
        results[server]?.push(await measure(child, load, { server, count, outstanding }));
      }
    }
    printTable(outstanding, list, results);
  }
  await issuer.close();
}

try {
  await main();
} finally {
  for (const child of children) child.kill();
  rmSync(directory, { recursive: true, force: true });
}
