/** Says what each step of a decision about a job has found. */
import { namespaceOf } from '../../manifest/ids.js';
import { engineVersions } from '../../manifest/texts.js';
import {
  type BatchExplanation,
  type BatchGrant,
  type BatchStep,
  type BatchSubmission,
  type JobQuestion,
  ownerOf,
} from '../../model/batch-policy.js';
import { GatewayError } from '../../model/errors.js';
import { USUAL_TTL_SECONDS, usualResources } from '../../model/job.js';

const STEPS = ['speak_for', 'submit', 'limits'] as const;

/** Steps of a decision, in their order; each says why it passes, or refuses. */
export type Decision = Generator<
  readonly [BatchStep['step'], string | GatewayError],
  BatchGrant | undefined
>;

export function submissionOf(question: JobQuestion): BatchSubmission {
  const { engineVersion, environment, identity, resources, sandbox, team, ttlSeconds } = question;
  return {
    identity,
    team,
    environment,
    namespace: namespaceOf({ team, environment, user: ownerOf(identity) }),
    engineVersion: engineVersion ?? engineVersions[0],
    resources: resources ?? usualResources,
    sandbox,
    ttlSeconds,
    defaultTtlSeconds: USUAL_TTL_SECONDS,
  };
}

export function explainDecision(
  { environment, identity, namespace, team }: BatchSubmission,
  decision: Decision,
  policyVersion: string,
): BatchExplanation {
  const found = new Map<BatchStep['step'], string | GatewayError>();
  let next = decision.next();
  for (; next.done !== true; next = decision.next()) found.set(...next.value);
  const grant = next.value;
  const steps = STEPS.map((step): BatchStep => {
    const outcome = found.get(step);
    if (outcome === undefined) return { step, outcome: 'not reached', reason: '' };
    return outcome instanceof GatewayError
      ? { step, outcome: 'refused', reason: outcome.message }
      : { step, outcome: 'passed', reason: outcome };
  });
  const refusal = [...found.values()].find((outcome) => outcome instanceof GatewayError);
  return Object.freeze<BatchExplanation>({
    policyVersion,
    allowed: grant !== undefined,
    ...(refusal && {
      refusal: { code: refusal.code, status: refusal.status, message: refusal.message },
    }),
    identity,
    place: { team, environment, namespace },
    steps,
    ...(grant && { grant }),
  });
}
