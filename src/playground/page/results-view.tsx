/** The first rows that a job left, with their schema, as a table and as files. */
import { Card } from '../../lib/page/parts.js';
import type { PreviewView, ResultsView as Results } from '../../model/playground-api.js';
import type { JobInView } from './job-follower.js';
import { asCsv, asJson, cellText, resultColumns } from './results-table.js';

interface Props {
  readonly job: string;
  readonly results: NonNullable<JobInView['results']>;
}

export function ResultsView({ job, results }: Props) {
  if ('failure' in results) {
    return (
      <Card title="Results" wide>
        <p class="empty">They cannot be shown now: {results.failure}</p>
      </Card>
    );
  }
  const { preview, schema, output_path: path, problem } = results;
  return (
    <Card title="Results" wide>
      {problem === undefined ? null : <p class="fine">{problem}</p>}
      <p class="fine">
        {extent(results)} Output: <span class="mono">{path}</span>
      </p>
      {preview === null ? null : <Preview job={job} preview={preview} schema={schema} />}
    </Card>
  );
}

function extent({ preview, count }: Results): string {
  const all = count === null ? undefined : BigInt(count).toLocaleString('en');
  if (preview === null) {
    return all === undefined
      ? 'The job has left no rows.'
      : `${all} rows; the job has left none to look at.`;
  }
  const shown = preview.rows.length.toLocaleString('en');
  if (all === shown) return `${shown} ${shown === '1' ? 'row' : 'rows'}.`;
  return all === undefined
    ? `The first ${shown} rows; how many there are is not known.`
    : `The first ${shown} of ${all} rows.`;
}

function Preview({
  job,
  preview,
  schema,
}: {
  readonly job: string;
  readonly preview: PreviewView;
  readonly schema: unknown;
}) {
  const columns = resultColumns(preview, schema);
  return (
    <>
      <div class="actions">
        <button type="button" onClick={() => save(`${job}.csv`, 'text/csv', asCsv(preview))}>
          Download CSV
        </button>
        <button
          type="button"
          onClick={() => save(`${job}.json`, 'application/json', asJson(preview, schema))}
        >
          Download JSON
        </button>
      </div>
      <div class="scroll results" tabIndex={0} role="region" aria-label="Rows">
        <table>
          <thead>
            <tr>
              {columns.map(({ name, type, nullable, numeric }, at) => (
                <th key={at} scope="col" class={numeric ? 'number' : undefined}>
                  {name}
                  <span class="type">
                    {type}
                    {nullable || type === '' ? '' : ', never null'}
                  </span>
                </th>
              ))}
            </tr>
          </thead>
          <tbody>
            {preview.rows.map((row, at) => (
              <tr key={at}>
                {columns.map(({ numeric }, column) => (
                  <td key={column} class={numeric ? 'number' : undefined}>
                    <Cell value={row[column]} />
                  </td>
                ))}
              </tr>
            ))}
          </tbody>
        </table>
      </div>
      {preview.rows.length === 0 ? <p class="empty">There are no rows.</p> : null}
    </>
  );
}

/** Beyond it a cell is cut in the table; files have the whole. */
const LONGEST_CELL = 200;

function Cell({ value }: { readonly value: unknown }) {
  if (value === null || value === undefined) return <span class="null">null</span>;
  const text = cellText(value);
  return text.length > LONGEST_CELL ? (
    <span title={text}>{text.slice(0, LONGEST_CELL)}…</span>
  ) : (
    <>{text}</>
  );
}

function save(name: string, type: string, text: string): void {
  const link = document.createElement('a');
  link.href = URL.createObjectURL(new Blob([text], { type: `${type};charset=utf-8` }));
  link.download = name;
  link.click();
  // The download has begun when the event loop comes round again.
  setTimeout(() => URL.revokeObjectURL(link.href), 0);
}
