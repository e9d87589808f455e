/** `job list`. */
import { jobStates } from '../../model/job.js';
import type { JobListView, JobView } from '../../model/playground-api.js';
import { type OnlineCommand, type OnlineContext, queryOf } from '../command.js';
import { shortIds } from '../ids.js';
import { JOBS } from '../job-commands.js';
import { shownListing } from '../listing.js';
import { filter, list } from '../options.js';
import { type Column, type Shown, since } from '../render.js';

export const jobList: OnlineCommand = {
  name: 'job list',
  about: 'Your batch jobs, the newest first.',
  options: [
    filter('state', 'Only those in this state.', jobStates),
    filter('team', 'Only those of this team.'),
    filter('environment', 'Only those in this environment.'),
    { name: 'all', about: 'All that you may see, not only your own.' },
    ...list,
  ],
  settingsOf: 'operator',
  online: true,
  asks: 'playground',
  show,
};

const PAGE_SIZE = '500';

async function show(context: OnlineContext): Promise<Shown> {
  const query = {
    ...queryOf(context, ['state', 'team', 'environment']),
    page_size: PAGE_SIZE,
    ...(context.options.has('all') ? { mine: 'false' } : {}),
  };
  const rows: JobView[] = [];
  let token: string | null = '';
  do {
    const page: JobListView = await context.client.get(`${JOBS}/jobs`, {
      ...query,
      ...(token === '' ? {} : { page_token: token }),
    });
    rows.push(...page.jobs);
    token = page.next_page_token;
  } while (token !== null);
  return shownListing(context, {
    kind: 'job',
    rows,
    nameOf: ({ job_id: id }) => id,
    columns: (shown, { wide }) => columns(shown, wide, context.now()),
    nothing: 'There is no job.',
  });
}

function columns(
  jobs: readonly JobView[],
  wide: boolean,
  nowMs: number,
): readonly Column<JobView>[] {
  const short = wide ? (id: string) => id : shortIds(jobs.map(({ job_id: id }) => id));
  return [
    { title: 'JOB', value: ({ job_id: id }) => short(id) },
    { title: 'NAME', value: ({ job_name: name }) => name },
    { title: 'TEAM', value: ({ team }) => team },
    { title: 'ENVIRONMENT', value: ({ environment }) => environment },
    { title: 'STATE', value: ({ state }) => state },
    { title: 'AGE', value: ({ created_at: at }) => since(at, nowMs) },
    { title: 'REASON', value: ({ reason }) => reason?.code ?? '' },
    { title: 'USER', value: ({ user }) => user, wide: true },
    { title: 'NAMESPACE', value: ({ namespace }) => namespace, wide: true },
    { title: 'OUTPUT', value: ({ output_path: path }) => path ?? '', wide: true },
  ];
}
