/** `problems`. */
import type { ProblemView } from '../../model/admin-api.js';
import { since, type Shown, type Column } from '../render.js';
import type { OnlineCommand, OnlineContext } from '../command.js';
import { list } from '../options.js';
import { shownListing } from '../listing.js';

export const problems: OnlineCommand = {
  name: 'problems',
  about: 'What is wrong, about what, since when.',
  options: list,
  settingsOf: 'operator',
  online: true,
  show,
};

async function show(context: OnlineContext): Promise<Shown> {
  return shownListing(context, {
    kind: 'problem',
    rows: await context.client.get<readonly ProblemView[]>('problems'),
    nameOf: ({ kind, object, issuer }) => `${kind}/${object ?? issuer ?? ''}`,
    columns: (rows) => columns(rows, context.now()),
    nothing: 'No problem is known.',
  });
}

function columns(rows: readonly ProblemView[], nowMs: number): readonly Column<ProblemView>[] {
  const clusters = rows.some(({ cluster }) => cluster !== undefined);
  return [
    { title: 'PROBLEM', value: ({ kind }) => kind },
    { title: 'ABOUT', value: ({ object, issuer }) => object ?? issuer ?? '' },
    { title: 'CLUSTER', value: ({ cluster }) => cluster ?? '', wide: !clusters },
    { title: 'SINCE', value: (problem) => since(problem.since, nowMs) },
    {
      title: 'REPORTED BY',
      value: ({ reportedBy = [] }) => reportedBy.join(','),
      wide: true,
    },
    { title: 'WHAT', value: ({ message }) => message },
  ];
}
