/** A job of which somebody asks whether it would be allowed: what counts of it, without what it does. */
import { fromJson } from '../lib/yaml/yaml-tree.js';
import { formatProblems } from '../lib/yaml/problem.js';
import { object, optional, Reader, text, type TypeOf } from '../lib/yaml/schema.js';
import { boolean, choice } from '../lib/yaml/text-types.js';
import type { BatchIdentity, JobQuestion } from '../model/batch-policy.js';
import { GatewayError } from '../model/errors.js';
import { resources } from './document.js';
import { ttlSeconds } from './options.js';
import { resourcesOfEntry } from './parse.js';
import { engineVersions } from './texts.js';

export const jobQuestionEntry = object('a job', {
  engine: optional(text(choice(...engineVersions))),
  resources: optional(resources),
  sandbox_mode: optional(text(boolean)),
  ttl_seconds: optional(text(ttlSeconds)),
});

export type JobQuestionEntry = TypeOf<typeof jobQuestionEntry>;

export interface Asker {
  readonly identity: BatchIdentity;
  readonly team: string;
  readonly environment: string;
}

export function jobQuestionOf(entry: JobQuestionEntry, asker: Asker): JobQuestion {
  return {
    ...asker,
    engineVersion: entry.engine,
    resources: entry.resources && resourcesOfEntry(entry.resources),
    sandbox: entry.sandbox_mode,
    ttlSeconds: entry.ttl_seconds,
  };
}

/** The same of JSON, called `name` in messages. Throws ARGUMENT_INVALID with every mistake. */
export function readJobQuestion(value: unknown, name: string, asker: Asker): JobQuestion {
  const reader = new Reader('');
  const entry = jobQuestionEntry.read(fromJson(value, name), reader);
  if (entry && reader.problems.length === 0) return jobQuestionOf(entry, asker);
  throw new GatewayError('ARGUMENT_INVALID', formatProblems(reader.problems));
}
