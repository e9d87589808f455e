/** What a policy says of batch jobs, as a value that decides. */
import { quote } from '../../lib/yaml/problem.js';
import type { Reader } from '../../lib/yaml/schema.js';
import {
  type BatchPolicy,
  type BatchSubmission,
  ownerOf,
  type SubmitGrant,
} from '../../model/batch-policy.js';
import { GatewayError } from '../../model/errors.js';
import type { KnownNames } from '../who.js';
import type { BatchEntry } from './entries.js';
import { compileBatchLimits, decidedBy, jobLimitsOf, notAllowed } from './limits.js';
import { type Decision, explainDecision, submissionOf } from './explain.js';
import { BatchRules } from './rules.js';

const NOTHING: BatchEntry = { speak_for: [], submit: [], read: [], limits: [] };

/** Mistakes go to the reader. Without an entry nobody may submit anything. */
export function compileBatch(
  entry: BatchEntry = NOTHING,
  known: KnownNames,
  version: string,
  reader: Reader,
): BatchPolicy {
  const rules = new BatchRules(entry, known, reader);
  const limitsFor = compileBatchLimits(entry.limits);

  function* decide(submission: BatchSubmission): Decision {
    const { environment, identity, team } = submission;
    const caller = rules.callerOf(identity, environment);
    yield [
      'speak_for',
      caller ? speaksFor(submission) : refusedSpeaker(submission, rules.environmentsFor(identity)),
    ];
    if (!caller) return undefined;
    const rule = rules.submitRule(caller, team, environment);
    yield [
      'submit',
      rule === undefined
        ? refusedSubmission(submission, rules.grants(identity))
        : `rule ${rule} allows it`,
    ];
    if (rule === undefined) return undefined;
    const limits = limitsFor(submission);
    const problems = notAllowed(limits, submission);
    yield [
      'limits',
      problems.length === 0
        ? 'within what is allowed'
        : new GatewayError(
            'BATCH_REFUSED',
            `The policy does not allow this job: ${problems.map(({ message }) => message).join('; ')}.`,
            { problems },
          ),
    ];
    if (problems.length > 0) return undefined;
    return Object.freeze({
      owner: ownerOf(identity),
      groups: caller.groups,
      ...decidedBy(limits, submission),
    });
  }

  return Object.freeze<BatchPolicy>({
    decideSubmit(submission) {
      const steps = decide(submission);
      for (;;) {
        const { done, value } = steps.next();
        if (done === true) {
          return value ?? new GatewayError('INTERNAL', 'The policy came to no decision.');
        }
        if (value[1] instanceof GatewayError) return value[1];
      }
    },
    accessOf: (identity) => rules.accessOf(identity),
    grants: (identity) => rules.grants(identity),
    limits: (place) => jobLimitsOf(limitsFor(place)),
    rules: () => rulesAsText(entry),
    explain(question) {
      const submission = submissionOf(question);
      return explainDecision(submission, decide(submission), version);
    },
  });
}

function speaksFor({ identity }: BatchSubmission): string {
  return identity.user === ''
    ? `service ${quote(identity.service)} acts for itself`
    : `service ${quote(identity.service)} may act for ${quote(identity.user)}`;
}

const ASK = 'Ask the owners of the Spark gateway.';

function refusedSpeaker(
  { environment, identity }: BatchSubmission,
  environments: readonly string[],
): GatewayError {
  const { service, user } = identity;
  const elsewhere = environments.length === 0 ? '' : ` (it may in ${environments.join(', ')})`;
  return new GatewayError(
    'BATCH_REFUSED',
    `The service ${quote(service)} may not act for ${quote(user)} in environment ${quote(environment)}: no entry of batch.speak_for is for that${elsewhere}. ${ASK}`,
  );
}

/** Grants that a message lists. */
const LISTED = 6;

function refusedSubmission(
  { environment, identity, team }: BatchSubmission,
  grants: readonly SubmitGrant[],
): GatewayError {
  const who =
    identity.user === '' ? `The service ${quote(identity.service)}` : quote(identity.user);
  const refused = `${who} may not submit jobs for team ${quote(team)} in environment ${quote(environment)}.`;
  const listed = grants
    .slice(0, LISTED)
    .map((grant) => `team ${words(grant.teams)} in ${words(grant.environments)}`)
    .join('; ');
  const more = grants.length > LISTED ? `; and ${grants.length - LISTED} more` : '';
  return new GatewayError(
    'BATCH_REFUSED',
    grants.length === 0
      ? `${refused} The policy allows it no jobs at all. ${ASK}`
      : `${refused} Allowed: ${listed}${more}.`,
  );
}

function words(names: readonly string[]): string {
  return names.map((name) => (name === '*' ? 'any' : name)).join(' or ');
}

function rulesAsText(entry: BatchEntry): readonly (readonly [string, string])[] {
  const parts = ['speak_for', 'submit', 'read', 'limits'] as const;
  return parts.flatMap((part) =>
    entry[part].map((rule): readonly [string, string] => [part, JSON.stringify(rule, plain)]),
  );
}

/** In an order of its own, not in that in which it was written; without what is empty. */
function plain(_key: string, value: unknown): unknown {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return value;
  const entries: [string, unknown][] = value instanceof Map ? [...value] : Object.entries(value);
  return Object.fromEntries(
    entries
      .filter(([, item]) => !(Array.isArray(item) && item.length === 0))
      .toSorted(([a], [b]) => a.localeCompare(b)),
  );
}
