/** `job results`. */
import type { PreviewView, ResultsView } from '../../model/playground-api.js';
import type { OnlineCommand, OnlineContext } from '../command.js';
import { jobNamed, JOBS } from '../job-commands.js';
import { renderTable, type Shown, type TableStyle } from '../render.js';

export const jobResults: OnlineCommand = {
  name: 'job results',
  about: 'The first rows of a batch job that has ended, and how many there are.',
  operands: '<job>',
  options: [{ name: 'no-headers', about: 'Without headings.' }],
  settingsOf: 'operator',
  online: true,
  asks: 'playground',
  show,
};

async function show(context: OnlineContext): Promise<Shown> {
  const id = await jobNamed(context);
  const results = await context.client.get<ResultsView>(
    `${JOBS}/results/${encodeURIComponent(id)}`,
  );
  const { count, output_path: path, preview } = results;
  const headings = !context.options.has('no-headers');
  return {
    value: results,
    people(style) {
      const rows = preview
        ? tableOf(preview, { ...style, headings })
        : 'The job has left no rows.\n';
      const all = count === null ? '' : `${count} rows in all. `;
      return headings ? `${rows}${all}${path}\n` : rows;
    },
  };
}

function tableOf({ columns, rows }: PreviewView, style: TableStyle): string {
  const shown = columns.map((title, at) => ({
    title,
    value: (row: readonly unknown[]) => cellOf(row[at]),
  }));
  return renderTable(shown, rows, style, 'There is no row.');
}

function cellOf(value: unknown): string {
  if (value === null || value === undefined) return 'null';
  return typeof value === 'string' ? value : JSON.stringify(value);
}
