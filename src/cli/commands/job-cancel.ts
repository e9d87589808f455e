/** `job cancel`. */
import type { CancelView } from '../../model/playground-api.js';
import type { OnlineCommand, OnlineContext } from '../command.js';
import { jobNamed, JOBS } from '../job-commands.js';
import type { Shown } from '../render.js';

export const jobCancel: OnlineCommand = {
  name: 'job cancel',
  about: 'Ends a batch job. One that has ended stays as it is.',
  operands: '<job>',
  settingsOf: 'operator',
  online: true,
  asks: 'playground',
  show,
};

async function show(context: OnlineContext): Promise<Shown> {
  const id = await jobNamed(context);
  const answer = await context.client.post<CancelView>(
    `${JOBS}/cancel/${encodeURIComponent(id)}`,
    {},
  );
  return {
    value: answer,
    people: () =>
      answer.success
        ? `Job ${id} is cancelled.\n`
        : `Job ${id} had ended before, and stays as it is.\n`,
    differs: !answer.success,
  };
}
