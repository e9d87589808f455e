/** `envoys`. */
import type { EnvoyView, StatusView, XdsType } from '../../model/admin-api.js';
import { since, type Shown, type Column, printable } from '../render.js';
import type { OnlineCommand, OnlineContext } from '../command.js';
import { list } from '../options.js';
import { shownListing } from '../listing.js';

const types: readonly XdsType[] = ['CDS', 'EDS', 'LDS', 'RDS', 'SDS', 'ECDS'];

export const envoys: OnlineCommand = {
  name: 'envoys',
  about:
    "Each Envoy's state for each type of resource: SYNCED, STALE, NACKED with the reason, NEVER_SENT.",
  options: list,
  settingsOf: 'operator',
  online: true,
  show,
};

async function show(context: OnlineContext): Promise<Shown> {
  const found = await context.client.get<readonly EnvoyView[]>('envoys');
  const { unknown } = await context.client.get<StatusView>('status');
  const none =
    unknown === undefined ? 'No Envoy is connected.' : 'No Envoy is connected to this replica.';
  const note =
    unknown === undefined
      ? ''
      : `\nEnvoys of other replicas are not known here: ${printable(unknown)}\n`;
  return shownListing(context, {
    kind: 'envoy',
    rows: found,
    nameOf: ({ node }) => node,
    columns: (_, { wide }) => columns(wide, context.now()),
    nothing: none,
    below: (rows) => rejections(rows) + note,
  });
}

function columns(wide: boolean, nowMs: number): readonly Column<EnvoyView>[] {
  return [
    { title: 'ENVOY', value: ({ node }) => node },
    ...types.map((type) => ({
      title: type,
      value: (envoy: EnvoyView) => {
        const { state, version } = envoy.types[type];
        return wide && version !== '' ? `${state} ${version}` : state;
      },
    })),
    { title: 'CONNECTED', value: ({ connectedSince }) => since(connectedSince, nowMs) },
    { title: 'REPLICA', value: ({ replica }) => replica ?? '', wide: true },
    { title: 'ADDRESS', value: ({ address }) => address, wide: true },
    { title: 'CLUSTER', value: ({ cluster }) => cluster, wide: true },
  ];
}

/** Reasons are sentences: they stand below the table. */
function rejections(found: readonly EnvoyView[]): string {
  const lines = found.flatMap((envoy) =>
    types.flatMap((type) => {
      const { reason } = envoy.types[type];
      return reason === undefined ? [] : [`${envoy.node} ${type}: ${printable(reason)}\n`];
    }),
  );
  return lines.length === 0 ? '' : `\nRejected:\n${lines.join('')}`;
}
