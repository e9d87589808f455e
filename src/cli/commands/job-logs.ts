/** `job logs`. */
import type { LogView } from '../../model/playground-api.js';
import type { OnlineCommand, OnlineContext } from '../command.js';
import { followLog, jobNamed, JOBS } from '../job-commands.js';
import type { Shown } from '../render.js';

export const jobLogs: OnlineCommand = {
  name: 'job logs',
  about: "A batch job's log: its last lines, or all of it as it grows.",
  operands: '<job>',
  options: [
    { name: 'follow', short: 'f', about: 'From the beginning, until the job has ended.' },
    { name: 'tail', value: 'lines', about: 'So many of the last lines, at most 1000.' },
  ],
  settingsOf: 'operator',
  online: true,
  asks: 'playground',
  check: (options) =>
    options.has('follow') && options.has('tail')
      ? ['--tail is for a log that is not followed']
      : [],
  show,
};

async function show(context: OnlineContext): Promise<Shown> {
  const id = await jobNamed(context);
  if (context.options.has('follow')) {
    await followLog(context, id);
    return { value: {}, people: () => '' };
  }
  const tail = context.options.get('tail');
  const log = await context.client.get<LogView>(
    `${JOBS}/logs/${encodeURIComponent(id)}`,
    tail === undefined ? {} : { tail },
  );
  return {
    value: log,
    people: () =>
      [...(log.truncated ? ['[earlier lines are left out]'] : []), ...log.lines]
        .map((line) => `${line}\n`)
        .join(''),
  };
}
