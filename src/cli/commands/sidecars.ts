/** `sidecars`. */
import type { SidecarView } from '../../model/admin-api.js';
import { since, type Shown, type Column, printable } from '../render.js';
import type { OnlineCommand, OnlineContext } from '../command.js';
import { list } from '../options.js';
import { shownListing } from '../listing.js';

export const sidecars: OnlineCommand = {
  name: 'sidecars',
  about:
    'Each authz process that the leader knows: connected or not, the policy that it decides by, when it was last heard of.',
  options: list,
  settingsOf: 'operator',
  online: true,
  show,
};

async function show(context: OnlineContext): Promise<Shown> {
  const found = await context.client.get<readonly SidecarView[]>('sidecars');
  return shownListing(context, {
    kind: 'sidecar',
    rows: found,
    nameOf: ({ id }) => id,
    columns: () => columns(context.now()),
    nothing: 'This replica knows of no sidecar; the leader does.',
    below: problems,
  });
}

function columns(nowMs: number): readonly Column<SidecarView>[] {
  return [
    { title: 'SIDECAR', value: ({ id, name }) => name || id.slice(0, 8) },
    { title: 'ID', value: ({ id }) => id, wide: true },
    { title: 'CONNECTED', value: ({ connected }) => (connected ? 'yes' : 'no') },
    { title: 'POLICY', value: ({ policy }) => policy?.version ?? '' },
    { title: 'TRIED OUT', value: ({ shadow }) => shadow?.version ?? '' },
    { title: 'LAST SEEN', value: ({ lastSeen }) => since(lastSeen, nowMs) },
    { title: 'LEASE ENDS', value: ({ leaseEnds }) => leaseEnds, wide: true },
    { title: 'TO CONFIRM', value: ({ pendingNotices }) => String(pendingNotices), wide: true },
  ];
}

/** Mistakes are sentences: they stand below the table. */
function problems(found: readonly SidecarView[]): string {
  const lines = found.flatMap(({ id, name, policy, shadow }) =>
    [
      ['policy', policy?.problem],
      ['tried out', shadow?.problem],
    ].flatMap(([what, problem]) =>
      problem === undefined
        ? []
        : problem
            .split('\n')
            .map((line) => `${name || id.slice(0, 8)} ${what}: ${printable(line)}\n`),
    ),
  );
  return lines.length === 0 ? '' : `\nNot good:\n${lines.join('')}`;
}
