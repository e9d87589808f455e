/**
 * What a large policy costs: to load, and to decide by. Usage: npm run bench:policy [-- runs]
 * A naive evaluation that tries every rule is measured beside it, for a ratio that holds on any machine.
 */
import { compilePolicy } from '../../src/policy/compile.js';
import { parseYaml } from '../../src/yaml/document.js';
import type { Caller } from '../../src/model/principal.js';
import { options } from '../../test/policy/support.js';
import { person, policyText, RULES, TEAMS } from './document.js';
import { naivePolicy } from './naive.js';

const runs = Number(process.argv[2] ?? 7);

function median(values: readonly number[]): number {
  return values.toSorted((a, b) => a - b)[values.length >> 1] ?? Number.NaN;
}

/** Median of the runs, milliseconds of processor time: what else the machine does changes it less. */
function time(work: () => void): number {
  return median(
    Array.from({ length: runs }, () => {
      const before = process.cpuUsage();
      work();
      const { user, system } = process.cpuUsage(before);
      return (user + system) / 1000;
    }),
  );
}

function micros(ms: number, decisions: number): number {
  return (ms * 1000) / decisions;
}

const text = policyText();
const policy = compilePolicy(text, 'policy.yaml', options);
const naive = naivePolicy(text);

const load = time(() => compilePolicy(text, 'policy.yaml', options));
const parse = time(() => parseYaml(text, 'policy.yaml'));
console.log(
  `${RULES} rules of ${TEAMS} teams, ${(text.length / 1024).toFixed(0)} KiB: ` +
    `loading costs ${load.toFixed(0)} ms, of which YAML ${parse.toFixed(0)} ms`,
);

const PEOPLE = 1000;
for (const groups of [5, 100, 1000]) {
  const everyone = Array.from({ length: PEOPLE }, (_, i) => person(i, groups));
  const strangers = (): readonly Caller[] => everyone.map((one) => ({ ...one }));
  const decide = (people: readonly Caller[]): void => {
    for (const [i, caller] of people.entries()) {
      const team = `team${i % TEAMS}`;
      policy.refuseUse(caller, { team, environment: 'dev', namespace: `sjns-${team}-dev` });
    }
  };
  const first = time(() => decide(strangers()));
  const again = time(() => decide(everyone));
  const few = everyone.slice(0, 20);
  const tried = time(() => {
    for (const [i, caller] of few.entries()) naive(caller, `team${i % TEAMS}`, 'dev');
  });
  console.log(
    `a caller with ${groups} groups: first seen ${micros(first, PEOPLE).toFixed(1)} µs, ` +
      `known ${micros(again, PEOPLE).toFixed(2)} µs; every rule tried ${micros(tried, few.length).toFixed(0)} µs ` +
      `(${(micros(tried, few.length) / micros(first, PEOPLE)).toFixed(0)}×)`,
  );
}
