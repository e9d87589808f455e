/** Token issuers whose keys cannot be fetched: one problem for each, whoever says so. */
import type { FleetProblem } from '../model/fleet-problem.js';
import type { ToldIssuer } from './shared-fleet.js';

const LONGEST_REASON = 300;

export function issuerProblems(told: readonly ToldIssuer[]): readonly FleetProblem[] {
  return grouped(told, ({ issuer }) => issuer).map((ofOne) => {
    const { issuer } = ofOne[0];
    const parts = grouped(ofOne, ({ problem, keysKnown }) => `${keysKnown} ${problem}`).map(
      (same) => {
        const [{ keysKnown, problem }] = same;
        const names = same.map(({ by }) => by).join(', ');
        const meanwhile = keysKnown ? 'those from before are in use' : 'its tokens are UNAVAILABLE';
        const why = problem.replaceAll(/\s+/g, ' ').slice(0, LONGEST_REASON);
        return `by ${names}, so ${meanwhile}: ${why}`;
      },
    );
    const message = `The keys of the token issuer ${issuer} cannot be fetched ${parts.join(' And ')}`;
    return { kind: 'issuer_unreachable', issuer, message };
  });
}

function grouped<T>(all: readonly T[], keyOf: (one: T) => string): readonly [T, ...T[]][] {
  const groups = new Map<string, [T, ...T[]]>();
  for (const one of all) {
    const group = groups.get(keyOf(one));
    if (group) group.push(one);
    else groups.set(keyOf(one), [one]);
  }
  return [...groups.values()];
}
