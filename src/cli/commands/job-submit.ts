/** `job submit`. */
import { readNamedText } from '../../lib/files/files.js';
import type { JobStatusView, SubmittedView } from '../../model/playground-api.js';
import type { OnlineCommand, OnlineContext } from '../command.js';
import { followLog, JOBS, renderJob, statusOf, wentWrong } from '../job-commands.js';
import { readManifestFile } from '../manifest-file.js';
import { filter } from '../options.js';
import type { Shown } from '../render.js';

const options = {
  'request-id': 'client_request_id',
  sandbox: 'sandbox_mode',
  sampling: 'data_sampling',
  ttl: 'ttl_seconds',
} as const;

export const jobSubmit: OnlineCommand = {
  name: 'job submit',
  about: 'Starts a batch job from its manifest.',
  operands: '<file>',
  options: [
    { ...filter('environment', 'Where it runs, such as test or prod.'), required: true },
    filter('team', "Whose job it is; else that of the manifest's metadata."),
    {
      name: 'job-name',
      value: 'name',
      about: "What it is called; else as the manifest's metadata say.",
    },
    {
      name: 'request-id',
      value: 'id',
      about: 'With the same id, the same manifest is the same job, however often it is submitted.',
    },
    {
      name: 'sandbox',
      value: 'true|false',
      about: 'Whether its SQL may not write and its sinks write into a folder of its own.',
      choices: ['true', 'false'],
    },
    {
      name: 'sampling',
      value: 'share',
      about: 'The share of each source that is read, such as 0.1.',
    },
    { name: 'ttl', value: 'seconds', about: 'It is ended when it is this old.' },
    { name: 'follow', about: 'Shows its log until it has ended; fails when it does not complete.' },
  ],
  settingsOf: 'operator',
  online: true,
  asks: 'playground',
  show,
};

async function show(context: OnlineContext): Promise<Shown> {
  const { client, operands } = context;
  const [file = ''] = operands;
  const given = context.options;
  // Every mistake with the name of the file, before anybody is asked.
  await readManifestFile(file);
  const optional = (name: string, field: string) => {
    const value = given.get(name);
    return value === undefined ? {} : { [field]: value };
  };
  const answer = await client.post<SubmittedView>(`${JOBS}/submit`, {
    manifest: await readNamedText(file, 'MANIFEST_INVALID', 'this file'),
    environment: given.get('environment') ?? '',
    ...optional('team', 'team'),
    ...optional('job-name', 'job_name'),
    options: Object.fromEntries(
      Object.entries(options).flatMap(([name, option]) => {
        const value = given.get(name);
        return value === undefined ? [] : [[option, value]];
      }),
    ),
  });
  const { job_id: id, duplicate = false } = answer;
  if (!given.has('follow')) {
    return {
      value: answer,
      names: [`job/${id}`],
      people: () => `Job ${id}${duplicate ? ' was there already' : ''}.\n`,
    };
  }
  context.say(`Job ${id}${duplicate ? ' was there already' : ''}`);
  await followLog(context, id);
  return shownEnd(await statusOf(context, id), context.now());
}

function shownEnd(job: JobStatusView, nowMs: number): Shown {
  return {
    value: job,
    names: [`job/${job.job_id}`],
    people: () => renderJob(job, nowMs),
    differs: wentWrong(job),
  };
}
