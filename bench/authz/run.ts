/**
 * npm run bench:authz: checks answered each second for a session and a token that are known, as
 * almost every check's are. Contenders run one after the other, several rounds, each as its own
 * process on one core; the load comes from another core. Prints medians.
 *
 * Arguments: rounds (default 5), seconds for each measurement (default 2).
 */
import { spawn, spawnSync, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { availableParallelism, tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { toBinary } from '@bufbuild/protobuf';
import { CheckRequestSchema } from '#gen/envoy/service/auth/v3/external_auth_pb.js';
import { checkRequest, sparkBody } from '../../test/support/check-client.js';
import { frame } from '../../test/support/spark-messages.js';
import { TokenIssuer } from '../../test/support/token-issuer.js';

interface Contender {
  readonly name: string;
  readonly command: string;
  readonly args: readonly string[];
}

interface Measured {
  readonly perSecond: number;
  readonly p50Ms: number;
  readonly p99Ms: number;
  readonly count: number;
  readonly failures: number;
}

const SESSIONS = 100;
const TOKENS = 20;
/** USER_HZ, which Linux fixes at 100 for /proc (proc(5)). */
const MS_PER_TICK = 10;

const rounds = Number(process.argv[2] ?? 5);
const seconds = Number(process.argv[3] ?? 2);
const directory = mkdtempSync(join(tmpdir(), 'bench-authz-'));
const here = (path: string) => fileURLToPath(new URL(path, import.meta.url));
const source = (path: string) =>
  fileURLToPath(new URL(`../../../bench/authz/${path}`, import.meta.url));

function contenders(): Contender[] {
  const node = process.execPath;
  const list = [
    { name: 'this gateway', command: node, args: [here('servers/gateway.js')] },
    { name: 'node:http2, same codec', command: node, args: [here('servers/node-http2.js')] },
    {
      name: 'grpc-js, same codec',
      command: node,
      args: [here('servers/grpc-js.js'), 'handwritten'],
    },
    {
      name: 'grpc-js, generated messages',
      command: node,
      args: [here('servers/grpc-js.js'), 'generated'],
    },
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
  const canPin = availableParallelism() > 1 && spawnSync('taskset', ['-V']).status === 0;
  return canPin
    ? spawn('taskset', ['-c', String(core), command, ...args], { env: serverEnvironment })
    : spawn(command, args, { env: serverEnvironment });
}

const serverEnvironment = { ...process.env, GOMAXPROCS: '1', NODE_ENV: 'production' };

function cpuMs(pid: number): number {
  const fields = readFileSync(`/proc/${pid}/stat`, 'utf8')
    .replace(/^.*\) /, '')
    .split(' ');
  return (Number(fields[11]) + Number(fields[12])) * MS_PER_TICK;
}

async function measure(
  contender: Contender,
  issuer: TokenIssuer,
  frames: string,
): Promise<Measured & { readonly cpuUs: number }> {
  const socket = join(directory, 'authz.sock');
  rmSync(socket, { force: true });
  const subject = JSON.stringify({ issuer: issuer.policy(), socket });
  const [script, ...rest] = contender.args;
  const args = script === undefined ? [subject] : [script, subject, ...rest];
  const server = pinned(0, contender.command, args);
  server.stderr?.pipe(process.stderr);
  if (server.stdout) await once(server.stdout, 'data');
  const load = pinned(1, process.execPath, [here('load.js'), socket, String(seconds)]);
  load.stdin?.end(frames);
  let output = '';
  load.stdout?.on('data', (chunk: Buffer) => (output += chunk.toString()));
  if (load.stderr) await once(load.stderr, 'data');
  const before = cpuMs(server.pid ?? 0);
  await once(load, 'close');
  const measured = JSON.parse(output) as Measured;
  const cpuUs = ((cpuMs(server.pid ?? 0) - before) * 1000) / measured.count;
  server.kill();
  await once(server, 'close');
  if (measured.failures > 0) throw new Error(`${contender.name}: ${measured.failures} failures`);
  return { ...measured, cpuUs };
}

function median(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b);
  return sorted[Math.floor(sorted.length / 2)] ?? Number.NaN;
}

async function main(): Promise<void> {
  const issuer = await TokenIssuer.start('bench', '127.0.0.1');
  const tokens = await Promise.all(
    Array.from({ length: TOKENS }, (_, i) => issuer.token(Date.now(), { jti: `${i}` })),
  );
  const frames = Array.from({ length: SESSIONS }, (_, i) => {
    const session = `00000000-0000-4000-8000-${String(i).padStart(12, '0')}`;
    const request = checkRequest({
      method: 'ReleaseExecute',
      token: tokens[i % TOKENS] ?? '',
      body: sparkBody('ann@example.com', session),
      headers: { 'x-doordash-user': 'ann' },
    });
    return frame(toBinary(CheckRequestSchema, request)).toString('base64');
  }).join('\n');
  const list = contenders();
  const results = new Map(list.map(({ name }) => [name, [] as (Measured & { cpuUs: number })[]]));
  for (let round = 1; round <= rounds; round++) {
    for (const contender of list) {
      results.get(contender.name)?.push(await measure(contender, issuer, frames));
    }
    process.stdout.write(`round ${round} of ${rounds} done\n`);
  }
  const medians = list.map(({ name }) => {
    const all = results.get(name) ?? [];
    const of = (pick: (one: Measured & { cpuUs: number }) => number) => median(all.map(pick));
    return {
      name,
      perSecond: of(({ perSecond }) => perSecond),
      cpuUs: of(({ cpuUs }) => cpuUs),
      p50Ms: of(({ p50Ms }) => p50Ms),
      p99Ms: of(({ p99Ms }) => p99Ms),
    };
  });
  const ours = medians[0];
  process.stdout.write(
    '\n| ext_authz, one core, 64 outstanding | checks/s | CPU for each | p50 | p99 | this gateway is |\n|---|---|---|---|---|---|\n',
  );
  for (const one of medians) {
    const ratio = (ours?.perSecond ?? 0) / one.perSecond;
    process.stdout.write(
      `| ${one.name} | ${Math.round(one.perSecond).toLocaleString('en')} | ${one.cpuUs.toFixed(1)} µs | ${one.p50Ms.toFixed(2)} ms | ${one.p99Ms.toFixed(2)} ms | ${ratio.toFixed(2)}× |\n`,
    );
  }
  await issuer.close();
}

try {
  await main();
} finally {
  rmSync(directory, { recursive: true, force: true });
}
