/** What a job may have: engines, resources, a deadline, a sandbox. The first entry that matches counts. */
import { didYouMean, quote } from '../../lib/yaml/problem.js';
import { formatSize } from '../../lib/yaml/text-types.js';
import type { BatchSubmission, JobLimits, JobPlace } from '../../model/batch-policy.js';
import type { PlacedProblem } from '../../model/errors.js';
import { isPlayground, memoryMib } from '../../model/job.js';
import { NameSet } from '../name-patterns.js';
import type { BatchLimitEntry } from './entries.js';

const NO_ENTRY: BatchLimitEntry = {
  match: undefined,
  jobs_per_owner: undefined,
  jobs_per_team: undefined,
  jobs_per_namespace: undefined,
  deadline: undefined,
  sandbox: 'optional',
  engines: undefined,
  largest: undefined,
};

export function compileBatchLimits(
  entries: readonly BatchLimitEntry[],
): (place: JobPlace) => BatchLimitEntry {
  const candidates = entries.map((entry) => {
    const { environments = [], namespaces = [], teams = [] } = entry.match ?? {};
    const matches = [
      matcher(teams, 'team'),
      matcher(environments, 'environment'),
      matcher(namespaces, 'namespace'),
    ];
    return { entry, matches: (place: JobPlace) => matches.every((match) => match(place)) };
  });
  return (place) => candidates.find(({ matches }) => matches(place))?.entry ?? NO_ENTRY;
}

function matcher(names: readonly string[], field: keyof JobPlace): (place: JobPlace) => boolean {
  if (names.length === 0) return () => true;
  const set = new NameSet(names);
  return (place) => set.matches(place[field]);
}

export function jobLimitsOf(entry: BatchLimitEntry): JobLimits {
  return {
    jobsPerOwner: entry.jobs_per_owner,
    jobsPerTeam: entry.jobs_per_team,
    jobsPerNamespace: entry.jobs_per_namespace,
  };
}

/** What is in force for a job that is allowed. */
export function decidedBy(entry: BatchLimitEntry, submission: BatchSubmission) {
  const { defaultTtlSeconds, engineVersion, environment, sandbox, ttlSeconds } = submission;
  const most = entry.deadline === undefined ? Number.POSITIVE_INFINITY : entry.deadline / 1000;
  const { image, template } = entry.engines?.get(engineVersion) ?? {};
  return {
    sandbox: entry.sandbox === 'required' || (sandbox ?? isPlayground(environment)),
    ttlSeconds: ttlSeconds ?? Math.min(defaultTtlSeconds, most),
    ...(template === undefined ? {} : { template }),
    ...(image === undefined ? {} : { image }),
    limits: jobLimitsOf(entry),
  };
}

const RESOURCES = 'spec.coreEtl.resources';

/** Everything of the job that is not allowed. */
export function notAllowed(
  entry: BatchLimitEntry,
  submission: BatchSubmission,
): readonly PlacedProblem[] {
  const { engineVersion, environment, sandbox, ttlSeconds } = submission;
  const problems: PlacedProblem[] = [];
  const refuse = (path: string, message: string) => problems.push({ path, message });
  const engines = entry.engines && [...entry.engines.keys()];
  if (engines && !engines.includes(engineVersion)) {
    const hint =
      didYouMean(engineVersion, engines) || `; there are ${engines.join(', ') || 'none'}`;
    refuse(
      'spec.engine.version',
      `Spark ${engineVersion} is not offered in environment ${quote(environment)}${hint}`,
    );
  }
  if (entry.sandbox === 'required' && sandbox === false) {
    refuse(
      'options.sandbox_mode',
      `jobs of environment ${quote(environment)} cannot leave the sandbox: leave sandbox_mode out`,
    );
  }
  const most = entry.deadline === undefined ? undefined : entry.deadline / 1000;
  if (most !== undefined && ttlSeconds !== undefined && ttlSeconds > most) {
    refuse('options.ttl_seconds', `ttl_seconds is ${ttlSeconds}; allowed: at most ${most}`);
  }
  checkResources(entry, submission, refuse);
  return problems;
}

function checkResources(
  { largest }: BatchLimitEntry,
  { resources }: BatchSubmission,
  refuse: (path: string, message: string) => void,
): void {
  for (const part of ['driver', 'executor'] as const) {
    const { cores, memory } = resources[part];
    const most = largest?.[part];
    if (most?.cores !== undefined && cores > most.cores) {
      refuse(
        `${RESOURCES}.${part}.cores`,
        `a ${part} of ${cores} cores; allowed: at most ${most.cores}`,
      );
    }
    if (most?.memory !== undefined && memoryMib(memory) * 1024 ** 2 > most.memory) {
      refuse(
        `${RESOURCES}.${part}.memory`,
        `${part === 'driver' ? 'a driver' : 'an executor'} of ${memory}; allowed: at most ${formatSize(most.memory)}`,
      );
    }
  }
  const { dynamicAllocation, executor } = resources;
  const instances = Math.max(executor.instances, dynamicAllocation?.maxExecutors ?? 0);
  const allowed = largest?.executor?.instances;
  if (allowed !== undefined && instances > allowed) {
    const field = dynamicAllocation ? 'dynamicAllocation.maxExecutors' : 'executor.instances';
    refuse(`${RESOURCES}.${field}`, `${instances} executors; allowed: at most ${allowed}`);
  }
}
