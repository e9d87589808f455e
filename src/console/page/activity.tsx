/** What operators did lately. */
import { dateAndTime } from '../../lib/page/format.js';
import type { LiveData } from './live-data.js';
import { Title } from '../../lib/page/parts.js';
import { State } from './parts.js';
import { PlainTable } from '../../lib/page/table.js';

export function Activity({ data }: { readonly data: LiveData }) {
  return (
    <>
      <Title>Activity</Title>
      <p class="fine">
        The last actions of operators that this replica was asked for. The audit log has all of
        them.
      </p>
      <PlainTable
        label="Actions"
        rows={data.audit}
        keyOf={({ at, action, object }) => `${at} ${action} ${object}`}
        empty="Nobody has done anything since this replica started."
        columns={[
          { title: 'When', cell: ({ at }) => dateAndTime(at) },
          { title: 'Who', cell: ({ principal }) => principal?.subject ?? 'not known' },
          { title: 'What', cell: ({ action }) => action },
          { title: 'Of', cell: ({ object }) => <span class="mono">{object}</span> },
          { title: 'Outcome', cell: ({ outcome }) => <State state={outcome} /> },
          {
            title: 'More',
            cell: ({ code, detail = {}, client }) =>
              [
                code,
                ...Object.entries(detail).map(([name, value]) => `${name} ${String(value)}`),
                client === undefined ? undefined : `from ${client}`,
              ]
                .filter((text) => text !== undefined)
                .join(', '),
          },
        ]}
      />
    </>
  );
}
