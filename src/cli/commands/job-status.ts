/** `job status`. */
import type { OnlineCommand, OnlineContext } from '../command.js';
import { jobNamed, renderJob, statusOf } from '../job-commands.js';
import { watch } from '../options.js';
import type { Shown } from '../render.js';

export const jobStatus: OnlineCommand = {
  name: 'job status',
  about: 'What is known of a batch job: its state, what it waits for, why it failed.',
  operands: '<job>',
  options: [watch],
  settingsOf: 'operator',
  online: true,
  asks: 'playground',
  show,
};

async function show(context: OnlineContext): Promise<Shown> {
  const id = await jobNamed(context);
  const job = await statusOf(context, id);
  return {
    value: job,
    names: [`job/${id}`],
    people: () => renderJob(job, context.now()),
  };
}
