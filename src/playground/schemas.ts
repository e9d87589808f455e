/**
 * JSON Schemas (2020-12) of what the REST API takes and answers: what is taken is checked by them, and
 * openapi.json is made from them. The types are those of src/model/playground-api.ts.
 */
import { Ajv2020, type ErrorObject, type ValidateFunction } from 'ajv/dist/2020.js';
import { GatewayError, type PlacedProblem } from '../model/errors.js';
import { jobStates } from '../model/job.js';
import type { SubmitBody, ValidateBody } from '../model/playground-api.js';

export type JsonSchema = Readonly<Record<string, unknown>>;

const text = (description: string, more: JsonSchema = {}): JsonSchema => ({
  type: 'string',
  description,
  ...more,
});
const integer = (description: string, more: JsonSchema = {}): JsonSchema => ({
  type: 'integer',
  description,
  ...more,
});
const flag = (description: string): JsonSchema => ({ type: 'boolean', description });
const time = (description: string): JsonSchema => text(description, { format: 'date-time' });
const orNull = (schema: JsonSchema): JsonSchema => ({
  ...schema,
  type: [schema['type'], 'null'],
});
const list = (items: JsonSchema, description = ''): JsonSchema => ({
  type: 'array',
  items,
  ...(description === '' ? {} : { description }),
});
/** All of them are there, but those named in `optional`. */
const record = (
  properties: Readonly<Record<string, JsonSchema>>,
  { optional = [], description }: { optional?: readonly string[]; description?: string } = {},
): JsonSchema => ({
  type: 'object',
  properties,
  required: Object.keys(properties).filter((name) => !optional.includes(name)),
  ...(description === undefined ? {} : { description }),
});
export const ref = (name: SchemaName): JsonSchema => ({ $ref: `#/components/schemas/${name}` });

const state = text('UNKNOWN is a doubt, and no end.', { enum: jobStates });
const line = integer('Counted from 1.', { minimum: 1 });
/** As URLs and headers hold it. */
const WORD = '^[!-~]+$';

const manifest = text('YAML: docs/batch.md; its JSON Schema: GET schema.');
const team = text("Left out: that of the manifest's metadata.", { minLength: 1, maxLength: 256 });
const environment = text('Such as test or prod.', { minLength: 1, maxLength: 256 });

const placed = { line, column: line, path: text('As spec.coreEtl.sinks[0].mode.') };

const jobFields = {
  job_id: text('Opaque.'),
  state,
  spark_ui_url: orNull(text("Spark's page while it runs, the history server's after.")),
  error: orNull(text('`CODE: message` of a job that did not complete.')),
  reason: {
    description: 'Why it is in its state: also what one that is PENDING waits for.',
    anyOf: [
      record(
        {
          code: text('Stable, in capitals.'),
          message: text('What is wrong, and what to do.'),
          step: text('The step of the manifest that it is about.'),
          line,
          column: line,
        },
        { optional: ['step', 'line', 'column'] },
      ),
      { type: 'null' },
    ],
  },
  team: text('Whose job it is, with its environment.'),
  environment: text(''),
  namespace: text('Where it runs.'),
  job_name: text(''),
  user: text('Who has submitted it.'),
  sandbox: flag('Its SQL may not write, and its sinks write into a folder of its own.'),
  attempt: integer('Counted from 1; 0 before the first.', { minimum: 0 }),
  created_at: time(''),
  started_at: orNull(time('')),
  ended_at: orNull(time('')),
  deadline: orNull(time('When it is ended at the latest.')),
  cancelling: flag('Somebody has cancelled it, and it has not ended yet.'),
  output_path: orNull(text('A file:// or s3:// URL.')),
};

export const schemas: Readonly<Record<SchemaName, JsonSchema>> = {
  Submission: {
    ...record(
      {
        manifest,
        environment,
        team,
        job_name: text("Left out: that of the manifest's metadata.", { maxLength: 256 }),
        options: {
          type: 'object',
          description: 'client_request_id, sandbox_mode, data_sampling, ttl_seconds.',
          additionalProperties: { type: 'string' },
        },
      },
      { optional: ['team', 'job_name', 'options'] },
    ),
    additionalProperties: false,
  },
  Submitted: record(
    { job_id: text('Opaque.'), duplicate: { const: true, description: 'It was there already.' } },
    { optional: ['duplicate'] },
  ),
  Job: record(jobFields),
  JobStatus: record({
    ...jobFields,
    logs: text('The last lines.'),
    logs_truncated: flag('There are lines before these.'),
    history: list(
      record(
        { state, at: time(''), reason: record({ code: text(''), message: text('') }) },
        { optional: ['reason'] },
      ),
    ),
  }),
  JobList: record({
    jobs: list(ref('Job'), 'Newest first.'),
    next_page_token: orNull(text('null: that was all.')),
  }),
  Cancelled: record({ success: flag('false for a job that has completed or failed before.') }),
  Results: record(
    {
      preview: {
        description: 'The first rows, at most 100; int64 and decimals as text.',
        anyOf: [
          record(
            {
              columns: list({ type: 'string' }),
              rows: list(list({})),
              truncated: flag('There are more rows.'),
            },
            { optional: ['truncated'] },
          ),
          { type: 'null' },
        ],
      },
      count: {
        description:
          'Of all rows: text where a number of JSON would not be exact; null: not known.',
        type: ['integer', 'string', 'null'],
      },
      schema: { description: "Spark's, as StructType.json() writes it." },
      output_path: text('Where all of it is.'),
      problem: text('Why something of it is missing.'),
    },
    { optional: ['problem'] },
  ),
  Log: record({
    job_id: text(''),
    state,
    lines: list({ type: 'string' }),
    truncated: flag('There are lines before these.'),
  }),
  Samples: list(record({ name: text(''), title: text(''), manifest })),
  Validation: {
    ...record({ manifest, team, environment }, { optional: ['team', 'environment'] }),
    additionalProperties: false,
  },
  Validated: record({
    problems: list(record({ ...placed, message: text('What is wrong, and what is allowed.') })),
  }),
  Choices: record({
    teams: list({ type: 'string' }),
    environments: list({ type: 'string' }),
    sandbox_environments: list(
      { type: 'string' },
      'Those in which the sandbox is on if nobody says otherwise.',
    ),
    defaults: record({ team: orNull(text('')), environment: orNull(text('')) }),
    local_paths: flag('Whether manifests may name files of the machine that jobs run on.'),
  }),
  Me: record(
    {
      principal: record({ issuer: text(''), subject: text('') }),
      groups: list({ type: 'string' }),
      good_until: time(''),
      forgery_token: text(
        'With a cookie: to be repeated in x-spark-console-token by what changes something.',
      ),
    },
    { optional: ['forgery_token'] },
  ),
  ManifestSchema: { type: 'object', description: 'JSON Schema of manifests, for editors.' },
  Problem: record(
    {
      type: text('RFC 9457.'),
      title: text(''),
      status: integer(''),
      detail: text('What is wrong, and what to do.'),
      code: text('Stable: src/model/errors.ts.'),
      errors: list(
        record(
          { ...placed, detail: text('What is wrong, and what is allowed.') },
          { optional: ['line', 'column'] },
        ),
        'Each mistake of a manifest or a body, with its place.',
      ),
    },
    { optional: ['errors'] },
  ),
};

export type SchemaName =
  | 'Submission'
  | 'Submitted'
  | 'Job'
  | 'JobStatus'
  | 'JobList'
  | 'Cancelled'
  | 'Results'
  | 'Log'
  | 'Samples'
  | 'Validation'
  | 'Validated'
  | 'Choices'
  | 'Me'
  | 'ManifestSchema'
  | 'Problem';

/** Parameters of queries. */
export const queries = {
  jobs: {
    state: text('Only those in this state; several with commas between.', {
      pattern: `^(${jobStates.join('|')})(,(${jobStates.join('|')}))*$`,
    }),
    team: text('Only those of this team.', { minLength: 1, maxLength: 256 }),
    environment: text('Only those in this environment.', { minLength: 1, maxLength: 256 }),
    mine: text('Only your own: true, which it is by default, or false for all that you may see.', {
      enum: ['true', 'false'],
    }),
    page_size: text('At most so many; else 50.', { pattern: '^([1-9]\\d?|[1-4]\\d\\d|500)$' }),
    page_token: text('`next_page_token` of the page before.', { maxLength: 4_000, pattern: WORD }),
  },
  logs: {
    tail: text('The last lines, at most so many; else 1000.', {
      pattern: '^([1-9]\\d{0,2}|1000)$',
    }),
    after: text('Of an event stream: the position of the last line that you have.', {
      maxLength: 200,
      pattern: WORD,
    }),
  },
  none: {},
} satisfies Readonly<Record<string, Readonly<Record<string, JsonSchema>>>>;

const ajv = new Ajv2020({ allErrors: true, strict: false });

/** What bodies are, by their schema. */
interface Bodies {
  readonly Submission: SubmitBody;
  readonly Validation: ValidateBody;
}

/** Checks bodies: throws ARGUMENT_INVALID with every mistake and the path of each. */
export function bodyChecker<Name extends keyof Bodies>(name: Name): (body: Buffer) => Bodies[Name] {
  const validate = ajv.compile<Bodies[Name]>(schemas[name]);
  return (body) => {
    let value: unknown;
    try {
      value = JSON.parse(body.toString('utf8'));
    } catch (cause) {
      throw new GatewayError('ARGUMENT_INVALID', 'The body is not JSON.', { cause });
    }
    return checked(value, validate, 'The body');
  };
}

/** Checks queries: throws ARGUMENT_INVALID for a parameter that is unknown, given twice, or not what it may be. */
export function queryChecker<Name extends keyof typeof queries>(
  name: Name,
): (query: URLSearchParams) => Partial<Record<keyof (typeof queries)[Name], string>> {
  const validate = ajv.compile<Partial<Record<keyof (typeof queries)[Name], string>>>({
    type: 'object',
    properties: queries[name],
    additionalProperties: false,
  });
  return (query) => {
    const twice = [...query.keys()].find((key, at, keys) => keys.indexOf(key) !== at);
    if (twice !== undefined) {
      throw new GatewayError(
        'ARGUMENT_INVALID',
        `${JSON.stringify(twice.slice(0, 100))} is given twice in the query.`,
      );
    }
    return checked(Object.fromEntries(query), validate, 'The query');
  };
}

function checked<T>(value: unknown, validate: ValidateFunction<T>, what: string): T {
  if (validate(value)) return value;
  const problems = (validate.errors ?? []).map(problemOf);
  const said = problems.map(({ path, message }) => (path === '' ? message : `${path} ${message}`));
  throw new GatewayError('ARGUMENT_INVALID', `${what} is not what it may be: ${said.join('; ')}.`, {
    problems,
  });
}

function problemOf({ instancePath, keyword, message, params }: ErrorObject): PlacedProblem {
  const path = instancePath.slice(1).replaceAll('/', '.');
  const named: unknown =
    keyword === 'additionalProperties' ? params['additionalProperty'] : undefined;
  if (typeof named === 'string') {
    return {
      path,
      message: `has ${JSON.stringify(named.slice(0, 100))}, which is not known`,
    };
  }
  const allowed: unknown = keyword === 'enum' ? params['allowedValues'] : undefined;
  const choices = Array.isArray(allowed) ? `: ${allowed.join(', ')}` : '';
  return { path, message: `${message ?? 'is wrong'}${choices}` };
}
