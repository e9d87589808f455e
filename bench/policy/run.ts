/**
 * What a large policy costs: to load, and to decide by. Usage: npm run bench:policy [-- runs]
 * A naive evaluation that tries every rule is measured beside it, for a ratio that holds on any machine.
 */
import type { Caller } from '../../src/model/principal.js';
import { compileAside } from '../../src/policy/aside/compile-aside.js';
import { compilePolicy } from '../../src/policy/compile.js';
import { parseYaml } from '../../src/lib/yaml/yaml-tree.js';
import { options } from '../../test/policy/support.js';
import { median } from '../median.js';
import { person, policyText, RULES, TEAMS } from './document.js';
import { naivePolicy } from './naive.js';

const runs = Number(process.argv[2] ?? 7);

/** Milliseconds of processor time, all threads: what else the machine does changes it less than the clock's. */
function cpuMs(work: () => void): number {
  const before = process.cpuUsage();
  work();
  const { user, system } = process.cpuUsage(before);
  return (user + system) / 1000;
}

function medianMs(work: () => void): string {
  return median(Array.from({ length: runs }, () => cpuMs(work))).toFixed(0);
}

const text = policyText();
const first = cpuMs(() => compilePolicy(text, 'policy.yaml', options)).toFixed(0);
const policy = compilePolicy(text, 'policy.yaml', options);
const naive = naivePolicy(text);
const load = medianMs(() => compilePolicy(text, 'policy.yaml', options));
const parse = medianMs(() => parseYaml(text, 'policy.yaml'));
console.log(
  `${RULES} rules of ${TEAMS} teams, ${(text.length / 1024).toFixed(0)} KiB: loading costs ${first} ms in a new process, ` +
    `then ${load} ms, of which YAML ${parse} ms`,
);

/** By the clock: how long a reload takes, and the longest time in which the process did nothing else. */
async function reload(document: string): Promise<{ tookMs: number; stallMs: number }> {
  let stallMs = 0;
  let last = performance.now();
  const started = last;
  const timer = setInterval(() => {
    const now = performance.now();
    stallMs = Math.max(stallMs, now - last);
    last = now;
  }, 1);
  await compileAside({ text: document, file: 'policy.yaml' }, options);
  clearInterval(timer);
  const now = performance.now();
  return { tookMs: now - started, stallMs: Math.max(stallMs, now - last) };
}

const reloads: { tookMs: number; stallMs: number }[] = [];
for (let run = 0; run < runs; run++) reloads.push(await reload(text));
const took = median(reloads.map(({ tookMs }) => tookMs)).toFixed(0);
const stall = median(reloads.map(({ stallMs }) => stallMs)).toFixed(0);
console.log(`reloaded beside the event loop: after ${took} ms, longest stall ${stall} ms`);

/** As many as are measured at a time, and how often each asks again. */
const PEOPLE = 100;
const AGAIN = 20;
/** Of whose teams the rules are all over the policy. */
const SPREAD = TEAMS / PEOPLE;

for (const groups of [5, 100, 1000]) {
  const costs = { allowed: [] as number[], refused: [] as number[], known: [] as number[] };
  const tried: number[] = [];
  const ask = (people: readonly Caller[], environment: string): void => {
    for (const [i, caller] of people.entries()) {
      const team = `team${(i * SPREAD) % TEAMS}`;
      policy.refuseUse(caller, { team, environment, namespace: `sjns-${team}-${environment}` });
    }
  };
  const asked = (into: number[], times: number, work: () => void): void => {
    into.push((cpuMs(work) * 1000) / times);
  };
  // The first round is for the compiler.
  for (let run = 0; run <= 3 * runs; run++) {
    const strangers = () =>
      Array.from({ length: PEOPLE }, (_, i) => fromToken(person(i * SPREAD, groups)));
    const people = strangers();
    asked(costs.allowed, PEOPLE, () => ask(people, 'dev'));
    asked(costs.known, PEOPLE * AGAIN, () => {
      for (let i = 0; i < AGAIN; i++) ask(people, 'dev');
    });
    const others = strangers();
    asked(costs.refused, PEOPLE, () => ask(others, 'nowhere'));
    const few = [10, 30, 50, 70, 90];
    asked(tried, few.length, () => {
      for (const i of few) naive(others[i] ?? person(0, 1), `team${i * SPREAD}`, 'dev');
    });
  }
  const [allowed, refused, known, all] = [costs.allowed, costs.refused, costs.known, tried].map(
    (values) => median(values.slice(1)),
  ) as [number, number, number, number];
  console.log(
    `a caller with ${groups} groups: first seen ${allowed.toFixed(1)} µs, refused ${refused.toFixed(1)} µs, ` +
      `known ${known.toFixed(2)} µs; every rule tried ${all.toFixed(0)} µs (${(all / allowed).toFixed(0)}×)`,
  );
}

/** Its texts are new ones, as those of a token that was just read. */
function fromToken(caller: Caller): Caller {
  return JSON.parse(JSON.stringify(caller)) as Caller;
}
