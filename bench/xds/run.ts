/**
 * What one changed endpoint costs an xDS server with 2,000 clusters of 5 endpoints: CPU of the server,
 * time until all clients have it, memory for each stream, bytes for each stream. Beside go-control-plane
 * where Go is installed and beside grpc-js with nothing on it: same clients, same run, interleaved.
 * Usage: node build/bench/xds/run.js [rounds [case…]]; BENCH_NODE: another node
 * to run the gateway's server with, beside.
 */
import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { median } from '../median.js';
import { LineProcess } from './process-lines.js';
import { CLUSTERS, ENDPOINTS_EACH } from './world.js';

interface Contestant {
  readonly name: string;
  readonly command: string;
  readonly args: readonly string[];
  /** Whether it can be asked for what it keeps. */
  readonly isNode?: boolean;
}

interface Case {
  readonly name: string;
  readonly protocol: 'delta' | 'sotw';
  readonly streams: number;
  /** Whether every client names the resources in an order of its own. */
  readonly shuffled?: boolean;
  readonly withGo?: boolean;
}

const cases: readonly Case[] = [
  { name: 'delta-100', protocol: 'delta', streams: 100, withGo: true },
  { name: 'sotw-100', protocol: 'sotw', streams: 100, withGo: true },
  { name: 'sotw-200-shuffled', protocol: 'sotw', streams: 200, shuffled: true },
  { name: 'delta-1000', protocol: 'delta', streams: 1000 },
  { name: 'sotw-1000', protocol: 'sotw', streams: 1000 },
];

interface Sample {
  readonly cpuMs: number;
  readonly allHaveItMs: number;
  readonly rssMiB: number;
  /** Of memory that is in use after a collection; NaN where that cannot be asked for. */
  readonly keptKiBEach: number;
  readonly rssKiBEach: number;
  readonly bytesEach: number;
}

/** Changes before the measured ones, so that code is compiled and caches are filled. */
const WARM_UP = 5;
const CHANGES = 10;
/** Server and clients are quiet again after this. */
const QUIET_MS = 300;
const rounds = Number(process.argv[2] ?? 3);
const wanted = process.argv.slice(3);
const otherNode = process.env['BENCH_NODE'];
const here = (file: string) => fileURLToPath(new URL(file, import.meta.url));

async function measure(contestant: Contestant, each: Case): Promise<Sample[]> {
  const { process: server, ready } = await LineProcess.start(contestant.command, contestant.args);
  const kept = async () =>
    contestant.isNode ? ((await server.ask('memory'))['keptBytes'] ?? NaN) : NaN;
  const keptBefore = await kept();
  const { rssBytes: rssBefore = NaN } = await server.ask('usage');
  const { process: clients } = await LineProcess.start(process.execPath, [
    here('clients.js'),
    String(ready['port']),
    each.protocol,
    String(each.streams),
    each.shuffled ? 'shuffled' : '',
  ]);
  try {
    await clients.ask('everyone');
    await pause(2 * QUIET_MS);
    const keptEach = ((await kept()) - keptBefore) / each.streams;
    const samples: Sample[] = [];
    for (let change = 0; change < WARM_UP + CHANGES; change += 1) {
      await clients.ask('mark');
      const before = await server.ask('usage');
      const start = performance.now();
      await server.ask('change');
      const { bytesReceived = 0 } = await clients.ask('everyone');
      const allHaveItMs = performance.now() - start;
      await pause(QUIET_MS);
      const after = await server.ask('usage');
      if (change < WARM_UP) continue;
      const rssBytes = after['rssBytes'] ?? 0;
      samples.push({
        cpuMs: ((after['cpuMicros'] ?? 0) - (before['cpuMicros'] ?? 0)) / 1000,
        allHaveItMs,
        rssMiB: rssBytes / 1024 / 1024,
        keptKiBEach: keptEach / 1024,
        rssKiBEach: (rssBytes - rssBefore) / 1024 / each.streams,
        bytesEach: bytesReceived / each.streams,
      });
    }
    return samples;
  } finally {
    await clients.stop();
    await server.stop();
  }
}

/** Builds go-control-plane's server; undefined, with a line that says why, when that cannot be done. */
function buildGo(directory: string): string | undefined {
  if (spawnSync('go', ['version']).error) {
    console.log('go-control-plane: left out, as Go is not on PATH.');
    return undefined;
  }
  const binary = join(directory, 'go-control-plane');
  const source = here('../../../bench/xds/go-control-plane');
  const built = spawnSync('go', ['build', '-o', binary, '.'], { cwd: source, encoding: 'utf8' });
  if (built.status === 0) return binary;
  console.log(`go-control-plane: left out, as it cannot be built: ${built.stderr.trim()}`);
  return undefined;
}

const directory = mkdtempSync(join(tmpdir(), 'bench-xds-'));
try {
  const chosen = cases.filter(({ name }) => wanted.length === 0 || wanted.includes(name));
  const go = chosen.some(({ withGo }) => withGo) ? buildGo(directory) : undefined;
  const onNode = (name: string, file: string, command = process.execPath): Contestant => ({
    name,
    command,
    args: ['--expose-gc', here(file)],
    isNode: true,
  });
  const gateway = onNode('gateway', 'server.js');
  const empty = onNode('grpc-js, nothing on it', 'grpc-js-server.js');
  console.log(
    `${CLUSTERS} clusters × ${ENDPOINTS_EACH} endpoints, aggregated streams, one endpoint changed; ` +
      `medians of ${rounds} × ${CHANGES} changes`,
  );
  for (const each of chosen) {
    const contestants: Contestant[] = [gateway, empty];
    if (otherNode) contestants.push(onNode('gateway, the other node', 'server.js', otherNode));
    for (const cache of go && each.withGo ? ['linear', 'snapshot'] : []) {
      const name = `go-control-plane (${cache})`;
      contestants.push({ name, command: go ?? '', args: ['-cache', cache] });
    }
    const samples = new Map<Contestant, Sample[]>();
    for (let round = 0; round < rounds; round += 1) {
      for (const contestant of contestants) {
        const fresh = await measure(contestant, each);
        samples.set(contestant, [...(samples.get(contestant) ?? []), ...fresh]);
      }
    }
    const own = median((samples.get(gateway) ?? []).map(({ cpuMs }) => cpuMs));
    console.table(
      Object.fromEntries(
        [...samples].map(([{ name }, taken]) => {
          const of = (key: keyof Sample) => median(taken.map((sample) => sample[key]));
          const row = {
            'server CPU ms': of('cpuMs').toFixed(1),
            'CPU, times the gateway’s': (of('cpuMs') / own).toFixed(1),
            'all have it, ms': of('allHaveItMs').toFixed(1),
            'RSS MiB': of('rssMiB').toFixed(0),
            'RSS, KiB a stream': of('rssKiBEach').toFixed(0),
            'in use, KiB a stream': of('keptKiBEach').toFixed(0),
            'bytes per stream': of('bytesEach').toFixed(0),
          };
          return [`${each.name} ${name}`, row];
        }),
      ),
    );
  }
} finally {
  rmSync(directory, { recursive: true });
}
