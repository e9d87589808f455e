/**
 * What audit costs a control plane, and that a sink which does not take records slows nothing: access
 * logs as fast as they are taken, with each sink in turn.
 * Usage: npm run bench:audit [-- rounds [seconds]]
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { NODE_OPTIONS } from '../../src/processes/process.js';
import { onCore } from '../cpu.js';
import { median } from '../median.js';
import type { Taken } from './control-plane.js';
import { ended, type Sink, sinks } from './sinks.js';

const WARM_UP_MS = 1_000;
const rounds = Number(process.argv[2] ?? 5);
const seconds = Number(process.argv[3] ?? 5);

interface Measured {
  readonly perSecond: number;
  readonly cpuMicros: number;
  /** Of all entries, between 0 and 1. */
  readonly dropped: number;
}

const here = (path: string) => fileURLToPath(new URL(path, import.meta.url));

/** On one core where the machine has several and can pin. */
function pinned(
  core: number,
  script: string,
  argument: string,
  stdio: ('ignore' | 'inherit' | 'ipc' | number)[],
): ChildProcess {
  const command = [process.execPath, ...NODE_OPTIONS, here(script), argument];
  const [program, ...args] = onCore(core, command);
  return spawn(program, args, { stdio });
}

async function ask(child: ChildProcess, what: 'tell' | 'end'): Promise<Taken> {
  const answer = once(child, 'message');
  child.send(what);
  return ((await answer) as [Taken])[0];
}

async function measure(sink: Sink): Promise<Measured> {
  const folder = mkdtempSync(join(tmpdir(), 'bench-audit-'));
  const open = await sink.open(folder);
  const children: ChildProcess[] = [];
  try {
    const controlPlane = pinned(0, 'control-plane.js', JSON.stringify(open.overrides), [
      'ignore',
      open.stdout,
      'inherit',
      'ipc',
    ]);
    children.push(controlPlane);
    const [{ port }] = (await once(controlPlane, 'message')) as [{ readonly port: number }];
    const envoys = pinned(1, 'envoys.js', `127.0.0.1:${port}`, ['ignore', 'inherit', 'inherit']);
    children.push(envoys);
    await pause(WARM_UP_MS);
    const before = await ask(controlPlane, 'tell');
    const startedAt = performance.now();
    await pause(seconds * 1000);
    const after = await ask(controlPlane, 'tell');
    const elapsed = (performance.now() - startedAt) / 1000;
    await ended(envoys);
    const last = await ask(controlPlane, 'end');
    const entries = after.entries - before.entries;
    check(sink, last);
    return {
      perSecond: entries / elapsed,
      cpuMicros: (after.cpuMicros - before.cpuMicros) / entries,
      dropped: last.dropped / last.entries,
    };
  } finally {
    for (const child of children) await ended(child);
    await open.close();
    rmSync(folder, { recursive: true });
  }
}

/** Records that say how many are missing are written, too: then more is accounted for than came. */
function check({ name, stalled }: Sink, { entries, written, dropped }: Taken): void {
  if (name === 'none') return;
  const missing = entries - written - dropped;
  if (missing > 0) throw new Error(`${name}: ${missing} records are neither written nor counted`);
  if (stalled && dropped === 0) throw new Error(`${name}: nothing was dropped, so nothing stalled`);
}

const results = new Map(sinks.map(({ name }) => [name, [] as Measured[]]));
for (let round = 1; round <= rounds; round += 1) {
  // Another one first in each round: what else the machine does has its own rhythm.
  const order = [...sinks.slice(round % sinks.length), ...sinks.slice(0, round % sinks.length)];
  for (const sink of order) results.get(sink.name)?.push(await measure(sink));
  console.log(`round ${round} of ${rounds} done`);
}
const all = (name: string) => results.get(name) ?? [];
const of = (name: string, pick: (one: Measured) => number) => median(all(name).map(pick));
/** Each round's own ratio: what else the machine does differs from round to round. */
const ofNone = (name: string) =>
  median(all(name).map(({ perSecond }, round) => perSecond / (all('none')[round]?.perSecond ?? 0)));
console.log('\n| audit to | entries/s | of none | CPU for each | dropped, and counted |');
console.log('|---|---|---|---|---|');
for (const { name } of sinks) {
  const perSecond = of(name, (one) => one.perSecond);
  const cells = [
    name,
    Math.round(perSecond).toLocaleString('en'),
    ofNone(name).toFixed(2),
    `${of(name, ({ cpuMicros }) => cpuMicros).toFixed(1)} µs`,
    `${(of(name, ({ dropped }) => dropped) * 100).toFixed(1)} %`,
  ];
  console.log(`| ${cells.join(' | ')} |`);
}
