/**
 * What one changed endpoint costs an xDS server with 2,000 clusters of 5 endpoints and 100 aggregated
 * streams: CPU of the server, time until all clients have it, memory, bytes for each stream. Beside
 * go-control-plane where Go is installed: same clients, same run, interleaved.
 * Usage: node build/bench/xds/run.js [rounds]
 */
import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { median } from '../median.js';
import { LineProcess } from './process-lines.js';
import { CLUSTERS, ENDPOINTS_EACH, STREAMS } from './world.js';

interface Contestant {
  readonly name: string;
  readonly command: string;
  readonly args: readonly string[];
}

interface Sample {
  readonly cpuMs: number;
  readonly allHaveItMs: number;
  readonly rssMiB: number;
  readonly bytesEach: number;
}

/** Changes before the measured ones, so that code is compiled and caches are filled. */
const WARM_UP = 5;
const CHANGES = 10;
/** Server and clients are quiet again after this. */
const QUIET_MS = 300;
const rounds = Number(process.argv[2] ?? 3);
const here = (file: string) => fileURLToPath(new URL(file, import.meta.url));

async function measure(contestant: Contestant, protocol: string): Promise<Sample[]> {
  const { process: server, ready } = await LineProcess.start(contestant.command, contestant.args);
  const { process: clients } = await LineProcess.start(process.execPath, [
    here('clients.js'),
    String(ready['port']),
    protocol,
  ]);
  try {
    await clients.ask('everyone');
    await pause(2 * QUIET_MS);
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
      samples.push({
        cpuMs: ((after['cpuMicros'] ?? 0) - (before['cpuMicros'] ?? 0)) / 1000,
        allHaveItMs,
        rssMiB: (after['rssBytes'] ?? 0) / 1024 / 1024,
        bytesEach: bytesReceived / STREAMS,
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
  const go = buildGo(directory);
  const gateway = { name: 'gateway', command: process.execPath, args: [here('server.js')] };
  const contestants: Contestant[] = [gateway];
  for (const cache of go ? ['linear', 'snapshot'] : []) {
    const name = `go-control-plane (${cache})`;
    contestants.push({ name, command: go ?? '', args: ['-cache', cache] });
  }
  console.log(
    `${CLUSTERS} clusters × ${ENDPOINTS_EACH} endpoints, ${STREAMS} aggregated streams, one endpoint changed; ` +
      `medians of ${rounds} × ${CHANGES} changes`,
  );
  for (const protocol of ['delta', 'sotw']) {
    const samples = new Map<Contestant, Sample[]>();
    for (let round = 0; round < rounds; round += 1) {
      for (const contestant of contestants) {
        const fresh = await measure(contestant, protocol);
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
            'all have it, ms': of('allHaveItMs').toFixed(1),
            'RSS MiB': of('rssMiB').toFixed(0),
            'bytes per stream': of('bytesEach').toFixed(0),
            'CPU, times the gateway’s': (of('cpuMs') / own).toFixed(1),
          };
          return [`${protocol} ${name}`, row];
        }),
      ),
    );
  }
} finally {
  rmSync(directory, { recursive: true });
}
