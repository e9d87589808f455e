/** The gateway at a glance. */
import type { EnvoyView, StatusView, ProblemView } from '../../model/admin-api.js';
import { isoTime } from '../../model/clock.js';
import type { DriverPhase } from '../../model/driver.js';
import type { KnownProblem } from '../../model/fleet-problem.js';
import type { ConsoleSources } from '../console-sources.js';
import { envoyState, envoyViews } from './envoy-views.js';
import { waitingSentences } from './waiting.js';

export function statusView(sources: ConsoleSources): StatusView {
  const { epoch, leader } = sources.replica();
  const { version, problem } = sources.policyReport();
  const envoys = envoyViews(sources);
  const unknown = sources.unknownEnvoys?.();
  const { drivers } = sources.fleet();
  return {
    version: sources.version,
    replica: {
      leads: epoch !== undefined,
      ...(epoch === undefined ? {} : { epoch }),
      ...(leader === undefined ? {} : { leader }),
    },
    policy: { version, ...(problem === undefined ? {} : { problem }) },
    envoys: envoyCounts(envoys),
    ...(unknown === undefined ? {} : { unknownEnvoys: unknown }),
    sessions: drivers.reduce((sum, { sessions }) => sum + sessions, 0),
    drivers: {
      warming: count(drivers, 'warming'),
      available: count(drivers, 'available'),
      in_use: count(drivers, 'in_use'),
      draining: count(drivers, 'draining'),
      expired: count(drivers, 'expired'),
      ending: count(drivers, 'ending'),
      gone: count(drivers, 'gone'),
    },
    problems: problemsOf(sources, envoys),
  };
}

function count(drivers: readonly { readonly phase: DriverPhase }[], phase: DriverPhase): number {
  return drivers.filter((driver) => driver.phase === phase).length;
}

function envoyCounts(envoys: readonly EnvoyView[]): StatusView['envoys'] {
  const states = envoys.map(envoyState);
  return {
    connected: envoys.length,
    synced: states.filter((state) => state === 'SYNCED' || state === 'NEVER_SENT').length,
    stale: states.filter((state) => state === 'STALE').length,
    nacked: states.filter((state) => state === 'NACKED').length,
  };
}

function problemsOf(sources: ConsoleSources, envoys: readonly EnvoyView[]): readonly string[] {
  const { epoch, leader } = sources.replica();
  const found: string[] = [];
  if (epoch === undefined && leader === undefined) {
    found.push('No control plane leads: new sessions wait.');
  }
  for (const { node, types } of envoys) {
    for (const [type, { reason }] of Object.entries(types)) {
      if (reason !== undefined) found.push(`Envoy ${node} rejects its ${type}: ${reason}`);
    }
  }
  return [
    ...found,
    ...issuerProblems(sources),
    ...sources.problems().map(problemSentence),
    ...waitingSentences(sources),
  ];
}

/** Each once, with those who say so. */
function issuerProblems({ sidecars }: Pick<ConsoleSources, 'sidecars'>): readonly string[] {
  const tellers = new Map<string, string[]>();
  for (const { connected, name, sidecarId, policy } of sidecars()) {
    if (!connected) continue;
    for (const { issuer, problem, keysKnown } of policy?.issuers ?? []) {
      const meanwhile = keysKnown ? 'those from before are in use' : 'its tokens are UNAVAILABLE';
      const sentence = `The keys of the token issuer ${issuer} cannot be fetched, so ${meanwhile}: ${problem}`;
      tellers.set(sentence, [...(tellers.get(sentence) ?? []), name || sidecarId]);
    }
  }
  return [...tellers].map(([sentence, names]) => `${sentence} (authz ${names.join(', ')})`);
}

// What is wrong, as the admin API shows it.

export function problemViews(problems: readonly KnownProblem[]): readonly ProblemView[] {
  return problems.map(({ kind, object, message, sinceMs }) => ({
    kind,
    ...(object ? { object: nameOf(object) } : {}),
    ...(object?.cluster === undefined ? {} : { cluster: object.cluster }),
    message,
    since: isoTime(sinceMs),
  }));
}

/** One sentence with what it is about. */
function problemSentence({ object, message }: KnownProblem): string {
  return object ? `${nameOf(object)}: ${message}` : message;
}

function nameOf({ kind, namespace, name }: NonNullable<KnownProblem['object']>): string {
  return kind === 'Namespace' ? `${kind} ${name}` : `${kind} ${namespace}/${name}`;
}
