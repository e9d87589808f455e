/** From a body of `POST submit` to a job: checked here first, then by the Runner and the control plane. */
import { randomUUID } from 'node:crypto';
import { SparkRunnerService } from '#gen/sparkrunner/sparkrunner_pb.js';
import { parseOptions } from '../manifest/options.js';
import { parseManifest, readManifest } from '../manifest/parse.js';
import { GatewayError } from '../model/errors.js';
import { DUPLICATE_HEADER } from '../model/names.js';
import type {
  SubmitBody,
  SubmittedView,
  ValidateBody,
  ValidationView,
} from '../model/playground-api.js';
import type { Asking, Runners } from './runners.js';

const REQUEST_ID = 'client_request_id';
const SANDBOX = 'sandbox_mode';

export interface SubmissionRules {
  /** Whether manifests may name files of the machine that the jobs run on. */
  readonly localPaths: boolean;
}

export interface Submission {
  readonly body: SubmitBody;
  /** The header `Idempotency-Key`. */
  readonly key: string | undefined;
  /** Whether the sandbox is on unless the options say otherwise, wherever the job runs. */
  readonly sandboxed: boolean;
}

/** Rejects with MANIFEST_INVALID, OPTION_INVALID, ARGUMENT_INVALID, or as the Runner does. */
export async function submit(
  { body, key, sandboxed }: Submission,
  asking: Asking,
  runners: Runners,
  { localPaths }: SubmissionRules,
): Promise<SubmittedView> {
  const { manifest, environment } = body;
  const runner = runners.of(environment);
  const options = optionsOf(body.options ?? {}, key, sandboxed);
  parseOptions(options);
  const { metadata } = readManifest(manifest, {
    localPaths,
    ...(body.team === undefined ? {} : { team: body.team }),
  });
  let duplicate = false;
  const { jobId } = await runner.ask(
    SparkRunnerService.method.submit,
    {
      manifest,
      environment,
      team: body.team ?? metadata.team,
      jobName: body.job_name ?? metadata.name,
      user: asking.caller.principal.subject,
      options,
    },
    asking,
    (told) => (duplicate = told.get(DUPLICATE_HEADER).includes('true')),
  );
  runners.note(jobId, runner);
  return duplicate ? { job_id: jobId, duplicate } : { job_id: jobId };
}

/** Every mistake, with its place; none: the manifest is good. */
export function validate(
  { manifest, team }: ValidateBody,
  { localPaths }: SubmissionRules,
): ValidationView {
  const { problems } = parseManifest(manifest, {
    localPaths,
    ...(team === undefined ? {} : { team }),
  });
  return { problems };
}

/** With an id in any case: the Runner may have to be asked again. */
function optionsOf(
  given: Readonly<Record<string, string>>,
  key: string | undefined,
  sandboxed: boolean,
): Readonly<Record<string, string>> {
  const said = given[REQUEST_ID];
  if (key !== undefined && said !== undefined && key !== said) {
    throw new GatewayError(
      'ARGUMENT_INVALID',
      `The header Idempotency-Key and the option ${REQUEST_ID} differ: send one of them only.`,
    );
  }
  return {
    ...(sandboxed ? { [SANDBOX]: 'true' } : {}),
    ...given,
    [REQUEST_ID]: key ?? said ?? randomUUID(),
  };
}

/**
 * A text, or such a text in quotes, as the IETF's draft-ietf-httpapi-idempotency-key-header has it. Throws
 * ARGUMENT_INVALID for any other.
 */
export function idempotencyKey(header: string | readonly string[] | undefined): string | undefined {
  if (header === undefined) return undefined;
  const [, key] = /^"?([!-~]{1,128}?)"?$/.exec(String(header).trim()) ?? [];
  if (key !== undefined && typeof header === 'string') return key;
  throw new GatewayError(
    'ARGUMENT_INVALID',
    'The header Idempotency-Key must hold 1 to 128 printable characters of ASCII without spaces.',
  );
}
