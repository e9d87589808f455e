/** The REST API's addresses, for its description; what each does is in playground.ts. */
import type { JsonSchema, queries, SchemaName } from './schemas.js';

export const API_ROOT = '/api/v1/playground';

export interface Endpoint {
  /** As `GET /jobs`: below the root. */
  readonly route: string;
  readonly about: string;
  readonly query?: keyof typeof queries;
  readonly headers?: Readonly<Record<string, JsonSchema>>;
  readonly body?: 'Submission' | 'Validation';
  readonly answer: SchemaName;
  /** Answered to those who ask for it by `Accept: text/event-stream`. */
  readonly events?: string;
  /** Statuses of refusals beside those that all have, and what they mean. */
  readonly refusals?: Readonly<Record<string, string>>;
}

const unknownJob = { '404': 'JOB_UNKNOWN: there is no such job, or it is not yours to see.' };

const submitting = {
  headers: {
    'Idempotency-Key': {
      type: 'string',
      maxLength: 128,
      description:
        'The same key, of the same user, team and environment, is the same job: send it again as often as you like.',
    },
  },
  body: 'Submission',
  answer: 'Submitted',
  refusals: {
    '400': 'MANIFEST_INVALID with each mistake and its place, OPTION_INVALID, ARGUMENT_INVALID.',
    '403': 'BATCH_REFUSED: the policy does not let you run this, there.',
    '409': 'JOB_EXISTS: the key is that of a job with another content.',
    '429': 'JOB_LIMIT_EXCEEDED: as many jobs are there as may be at a time.',
  },
} as const;

export const endpoints: readonly Endpoint[] = [
  {
    route: 'POST /submit',
    about: 'Starts a job. Answered when the job is durable.',
    ...submitting,
  },
  {
    route: 'POST /run',
    about: 'The same, in the sandbox unless the options say otherwise.',
    ...submitting,
  },
  {
    route: 'GET /status/{id}',
    about: 'A job, with the last lines of its log.',
    answer: 'JobStatus',
    refusals: unknownJob,
  },
  {
    route: 'POST /cancel/{id}',
    about: 'Ends a job. Answered when that is durable; again is the same.',
    answer: 'Cancelled',
    refusals: unknownJob,
  },
  {
    route: 'GET /results/{id}',
    about: 'The first rows of a job that has ended, their schema and the count of all.',
    answer: 'Results',
    refusals: {
      '400': 'JOB_NOT_ENDED: it has not ended.',
      ...unknownJob,
      '503': 'RESULTS_UNREADABLE: what the job has left cannot be read now.',
    },
  },
  {
    route: 'GET /jobs',
    about: 'Jobs, newest first.',
    query: 'jobs',
    answer: 'JobList',
  },
  {
    route: 'GET /logs/{id}',
    about: 'The last lines of a log, or all of it as it grows.',
    query: 'logs',
    headers: {
      'Last-Event-ID': {
        type: 'string',
        description: 'Of an event stream: the position of the last line that you have.',
      },
    },
    answer: 'Log',
    events:
      'Events: `state` {"state"}, `log` (a JSON array of lines; its id is the position of the last one), `gap` (lines are lost), `end` {"state"}, which is the last one. A comment every 15 s. After a cut connection send the last id as Last-Event-ID.',
    refusals: unknownJob,
  },
  { route: 'GET /samples', about: 'Manifests to begin with.', answer: 'Samples' },
  {
    route: 'POST /validate',
    about: 'The mistakes of a manifest, each with its place.',
    body: 'Validation',
    answer: 'Validated',
  },
  { route: 'GET /options', about: 'What you may choose from.', answer: 'Choices' },
  {
    route: 'GET /schema',
    about: 'JSON Schema of manifests, for editors.',
    answer: 'ManifestSchema',
  },
  { route: 'GET /me', about: 'Who you are here.', answer: 'Me' },
];
