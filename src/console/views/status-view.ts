/** The gateway at a glance. */
import type { EnvoyView, StatusView, ProblemView } from '../../model/admin-api.js';
import { isoTime } from '../../model/clock.js';
import type { DriverPhase } from '../../model/driver.js';
import type { FleetProblem } from '../../model/fleet-problem.js';
import type { ConsoleSources, ReportedProblem } from '../console-sources.js';
import { envoyState, envoyViews } from './envoy-views.js';
import { waitingSentences } from './waiting.js';

export function statusView(sources: ConsoleSources): StatusView {
  const { epoch, leader } = sources.replica();
  const { version, problem } = sources.policyReport();
  const envoys = envoyViews(sources);
  const unknown = sources.unknown?.();
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
    ...(unknown === undefined ? {} : { unknown }),
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
  return [...found, ...sources.problems().map(problemSentence), ...waitingSentences(sources)];
}

// What is wrong, as the admin API shows it.

export function problemViews(problems: readonly ReportedProblem[]): readonly ProblemView[] {
  return problems.map(({ kind, object, issuer, message, sinceMs, reportedBy }) => ({
    kind,
    ...(object ? { object: nameOf(object) } : {}),
    ...(issuer === undefined ? {} : { issuer }),
    ...(object?.cluster === undefined ? {} : { cluster: object.cluster }),
    message,
    since: isoTime(sinceMs),
    ...(reportedBy ? { reportedBy } : {}),
  }));
}

/** One sentence with what it is about. */
function problemSentence({ object, message }: FleetProblem): string {
  return object ? `${nameOf(object)}: ${message}` : message;
}

function nameOf({ kind, namespace, name }: NonNullable<FleetProblem['object']>): string {
  return kind === 'Namespace' ? `${kind} ${name}` : `${kind} ${namespace}/${name}`;
}
