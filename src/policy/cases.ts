/** Requests with what is to become of them: a table by which a policy is tested before it is used. */
import { dirname } from 'node:path';
import { describedCaller } from '../model/administration.js';
import type { BatchExplanation } from '../model/batch-policy.js';
import { GatewayError, isErrorCode } from '../model/errors.js';
import type { Explanation, Policy } from '../model/policy.js';
import { parseYaml, type YamlValue } from '../lib/yaml/yaml-tree.js';
import { formatProblems } from '../lib/yaml/problem.js';
import {
  list,
  object,
  optional,
  Reader,
  required,
  type Schema,
  text,
  type TypeOf,
  withDefault,
} from '../lib/yaml/schema.js';
import { plainText, textType } from '../lib/yaml/text-types.js';
import { jobQuestionEntry, jobQuestionOf } from '../manifest/job-question.js';

const outcome = textType(
  'allowed, or the code of a refusal such as NAMESPACE_REFUSED',
  (written) => (written === 'allowed' || isErrorCode(written) ? written : undefined),
);

const claims: Schema<Readonly<Record<string, unknown>>> = {
  allowed: 'claims with their values',
  shape: { kind: 'any map' },
  read(value, reader) {
    if (value.kind !== 'map') return reader.refuse(value.place, 'this must be a map of claims');
    return Object.fromEntries(value.entries.map((entry) => [entry.key, plain(entry.value)]));
  },
};

const texts = () => withDefault(list(text(plainText)), []);

const policyCase = object('a case', {
  name: optional(text(plainText)),
  principal: optional(text(plainText)),
  service: optional(text(plainText)),
  issuer: optional(text(plainText)),
  groups: texts(),
  claims: optional(claims),
  team: optional(text(plainText)),
  environment: optional(text(plainText)),
  host: optional(text(plainText)),
  user_id: optional(text(plainText)),
  config: optional(object('config', { reads: texts(), writes: texts(), lists: texts() })),
  job: optional(jobQuestionEntry),
  expect: required(text(outcome)),
  namespace: optional(text(plainText)),
});

const casesDocument = object('a table of cases', { cases: required(list(policyCase)) });

export interface PolicyCase extends TypeOf<typeof policyCase> {
  readonly line: number | undefined;
}

export interface CaseResult {
  /** What the case is called, or says. */
  readonly name: string;
  readonly line: number | undefined;
  readonly expected: string;
  /** `allowed`, or the code of the refusal; with the namespace where the case names one. */
  readonly got: string;
  readonly passed: boolean;
  readonly explanation: Explanation | BatchExplanation;
}

/** Throws POLICY_INVALID with every mistake. */
export function readCases(source: string, file: string): readonly PolicyCase[] {
  const reader = new Reader(dirname(file));
  const parsed = parseYaml(source, file);
  reader.problems.push(...parsed.problems);
  const document = parsed.wellFormed ? casesDocument.read(parsed.value, reader) : undefined;
  const cases = document?.cases ?? [];
  for (const entry of cases) {
    const { job, principal, service } = entry;
    if (job !== undefined) {
      for (const needed of ['service', 'team', 'environment'] as const) {
        if (entry[needed] !== undefined) continue;
        const message = `a case with a job needs ${needed}: a service submits it, for itself or for principal`;
        reader.refuseAt(entry, 'job', message);
      }
    } else if ((principal === undefined) === (service === undefined)) {
      reader.refuseAt(entry, undefined, 'a case needs either principal or service');
    }
  }
  if (reader.problems.length > 0) {
    throw new GatewayError('POLICY_INVALID', formatProblems(reader.problems));
  }
  return cases.map((entry) => ({ ...entry, line: reader.placeOf(entry)?.line }));
}

export function tryCase(policy: Policy, entry: PolicyCase): CaseResult {
  const { expect, line, namespace } = entry;
  const explanation = explain(policy, entry);
  const place = (where: string | undefined): string =>
    namespace === undefined || where === undefined ? '' : ` in ${where}`;
  const expected = `${expect}${expect === 'allowed' ? place(namespace) : ''}`;
  const got = explanation.refusal?.code ?? `allowed${place(namespaceIn(explanation))}`;
  return { name: nameOf(entry), line, expected, got, passed: got === expected, explanation };
}

function explain(policy: Policy, entry: PolicyCase): CaseResult['explanation'] {
  const { config, environment, groups, host, job, principal = '', service, team } = entry;
  if (job && policy.batch) {
    const identity = { service: service ?? '', user: principal, groups };
    const asker = { identity, team: team ?? '', environment: environment ?? '' };
    return policy.batch.explain(jobQuestionOf(job, asker));
  }
  return policy.explain({
    caller: describedCaller(entry, policy),
    team,
    environment,
    host,
    userId: entry.user_id,
    config,
  });
}

/** Where the request leads. */
export function namespaceIn(explanation: CaseResult['explanation']): string | undefined {
  return 'place' in explanation ? explanation.place.namespace : explanation.target?.namespace;
}

function nameOf({ environment, host, name, principal, service, team }: PolicyCase): string {
  return (
    name ??
    `${principal ?? service} as ${team ?? 'no team'} in ${environment ?? host ?? 'no environment'}`
  );
}

/** As JSON would have it: true, false, null and numbers are what they look like. */
function plain(value: YamlValue): unknown {
  switch (value.kind) {
    case 'text':
      return /^(true|false|-?\d+(\.\d+)?)$/.test(value.text) ? JSON.parse(value.text) : value.text;
    case 'list':
      return value.items.map(plain);
    case 'map':
      return Object.fromEntries(value.entries.map((entry) => [entry.key, plain(entry.value)]));
    case 'nothing':
      return null;
  }
}
