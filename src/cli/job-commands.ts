/** What the commands for batch jobs have in common. */
import { setTimeout } from 'node:timers/promises';
import { hasEnded } from '../model/job.js';
import type { JobListView, JobStatusView, JobView, LogEvents } from '../model/playground-api.js';
import { GatewayError, GrpcStatus } from '../model/errors.js';
import type { OnlineContext } from './command.js';
import { jobIds, wholeId } from './ids.js';
import { renderFields, since } from './render.js';

export const JOBS = 'playground';

const WHOLE = /^job-[a-z2-7]{26}$/;
const MOST = '500';

/** The id of one of the caller's own newest jobs of which the first characters may be written, or any whole one. */
export async function jobNamed({ client, operands }: OnlineContext): Promise<string> {
  const [written = ''] = operands;
  if (WHOLE.test(written)) return written;
  const { jobs } = await client.get<JobListView>(`${JOBS}/jobs`, { page_size: MOST });
  return wholeId(
    written,
    jobs.map(({ job_id: id }) => id),
    jobIds,
  );
}

export function statusOf({ client }: OnlineContext, id: string): Promise<JobStatusView> {
  return client.get(`${JOBS}/status/${encodeURIComponent(id)}`);
}

export function renderJob(job: JobView, nowMs: number): string {
  const { reason } = job;
  const place = [
    ...(reason?.step === undefined ? [] : [`step ${reason.step}`]),
    ...(reason?.line === undefined ? [] : [`line ${reason.line}, column ${reason.column ?? 1}`]),
  ].join(', ');
  return renderFields({
    job: job.job_id,
    name: job.job_name,
    state: job.cancelling ? `${job.state}, and is being cancelled` : job.state,
    reason: reason
      ? `${reason.code}: ${reason.message}${place === '' ? '' : ` (${place})`}`
      : undefined,
    team: job.team,
    environment: job.environment,
    namespace: job.namespace,
    user: job.user,
    sandbox: job.sandbox ? 'yes' : 'no',
    created: `${job.created_at}, ${since(job.created_at, nowMs)} ago`,
    started: job.started_at ?? undefined,
    ended: job.ended_at ?? undefined,
    deadline: job.ended_at === null ? (job.deadline ?? undefined) : undefined,
    output: job.output_path ?? undefined,
    'Spark UI': job.spark_ui_url ?? undefined,
  });
}

const RETRY_MS = 1_000;

/**
 * Prints the log as it grows, over cut connections, each line once. Resolves when the job has ended;
 * rejects as the Playground refuses.
 */
export async function followLog(context: OnlineContext, id: string): Promise<void> {
  const { client } = context;
  if (!client.events) throw new GatewayError('ARGUMENT_INVALID', 'There is no log to follow here.');
  let last: string | undefined;
  let lost = false;
  for (;;) {
    try {
      for await (const event of client.events(`${JOBS}/logs/${encodeURIComponent(id)}`, last)) {
        lost = false;
        last = event.id ?? last;
        if (event.name === 'gap') context.say('[some lines are lost]');
        if (event.name === 'log') context.print(textOf(event.data));
        if (event.name === 'end') return;
      }
    } catch (error) {
      if (!passes(error)) throw error;
      if (!lost) context.say(`${error.message} Trying again.`);
      lost = true;
    }
    await setTimeout(RETRY_MS);
  }
}

function textOf(data: string): string {
  // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- src/model/playground-api.ts is the contract
  const lines = JSON.parse(data) as LogEvents['log'];
  return lines.map((line) => `${line}\n`).join('');
}

function passes(error: unknown): error is GatewayError {
  return (
    error instanceof GatewayError &&
    (error.code === 'ADMIN_API_UNREACHABLE' || error.status === GrpcStatus.UNAVAILABLE)
  );
}

/** Whether a script is to be told that it did not go well. */
export function wentWrong({ state }: Pick<JobView, 'state'>): boolean {
  return hasEnded(state) && state !== 'COMPLETED';
}
