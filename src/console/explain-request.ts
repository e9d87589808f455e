/** `POST policy/explain`: the request or batch job that somebody asks about, read from a body. */
import { describedCaller } from '../model/administration.js';
import type { BatchExplanation, JobQuestion } from '../model/batch-policy.js';
import type { Explanation, ExplainRequest, Policy } from '../model/policy.js';
import { GatewayError } from '../model/errors.js';
import type { Caller } from '../model/principal.js';
import { readJobQuestion } from '../manifest/job-question.js';
import { jsonBody } from '../lib/http/router.js';

const FIELDS = [
  'principal',
  'issuer',
  'groups',
  'claims',
  'service',
  'host',
  'team',
  'environment',
  'userId',
  'job',
] as const;
type Fields = Partial<Record<(typeof FIELDS)[number], unknown>>;

/** Why the policy allows or refuses what a body describes: a request, or a batch job where it has a `job`. Throws ARGUMENT_INVALID. */
export function explainBody(
  body: Buffer,
  asker: Caller,
  policy: Policy,
): Explanation | BatchExplanation {
  const fields = jsonBody(body, FIELDS);
  return fields['job'] !== undefined && policy.batch
    ? policy.batch.explain(jobQuestionIn(fields))
    : policy.explain(explainRequestIn(fields, asker, policy));
}

/** A service submits the job, for the principal or for itself. */
function jobQuestionIn(fields: Fields): JobQuestion {
  const needed = (name: 'service' | 'team' | 'environment'): string => {
    const value = textIn(fields, name);
    if (value !== undefined) return value;
    throw new GatewayError('ARGUMENT_INVALID', `A "job" needs "${name}".`);
  };
  const identity = {
    service: needed('service'),
    user: textIn(fields, 'principal') ?? '',
    groups: groupsOf(fields['groups']),
  };
  const asker = { identity, team: needed('team'), environment: needed('environment') };
  return readJobQuestion(fields['job'], 'job', asker);
}

function textIn(fields: Fields, name: (typeof FIELDS)[number]): string | undefined {
  const value = fields[name];
  if (value === undefined || value === null) return undefined;
  if (typeof value === 'string' && value !== '') return value;
  throw new GatewayError('ARGUMENT_INVALID', `"${name}" must be text.`);
}

/** Without `principal` and `service` it is about whoever asks. Throws ARGUMENT_INVALID. */
function explainRequestIn(
  fields: Fields,
  asker: Caller,
  policy: Pick<Policy, 'issuers'>,
): ExplainRequest {
  const text = (name: (typeof FIELDS)[number]) => textIn(fields, name);
  const principal = text('principal');
  const service = text('service');
  const issuer = text('issuer');
  const groups = groupsOf(fields['groups']);
  const claims = claimsOf(fields['claims']);
  if (principal !== undefined && service !== undefined) {
    throw new GatewayError('ARGUMENT_INVALID', 'Name a "principal" or a "service", not both.');
  }
  if (principal === undefined && (issuer !== undefined || groups.length > 0 || claims)) {
    throw new GatewayError(
      'ARGUMENT_INVALID',
      '"issuer", "groups" and "claims" are of a "principal": name it.',
    );
  }
  const named = principal !== undefined || service !== undefined;
  const caller = named
    ? describedCaller({ principal, issuer, groups, claims, service }, policy)
    : asker;
  return {
    caller,
    host: text('host'),
    team: text('team'),
    environment: text('environment'),
    userId: text('userId'),
  };
}

function groupsOf(value: unknown): readonly string[] {
  if (value === undefined || value === null) return [];
  if (Array.isArray(value) && value.every((group) => typeof group === 'string')) return value;
  throw new GatewayError('ARGUMENT_INVALID', '"groups" must be a list of names.');
}

function claimsOf(value: unknown): Readonly<Record<string, unknown>> | undefined {
  if (value === undefined || value === null) return undefined;
  if (typeof value === 'object' && !Array.isArray(value)) {
    return Object.fromEntries(Object.entries(value));
  }
  throw new GatewayError(
    'ARGUMENT_INVALID',
    '"claims" must be an object such as {"team": "data"}.',
  );
}
