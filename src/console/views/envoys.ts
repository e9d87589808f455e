/** Envoys and sidecars as the admin API shows them. */
import type { EnvoyView, SidecarView, XdsType, XdsTypeView } from '../../model/admin-api.js';
import type { NodeStatus, SidecarStatus, SyncState, TypeStatus } from '../../model/reports.js';
import type { ConsoleSources } from '../sources.js';
import { isoTime } from './time.js';

/** The end of each type's URL. */
const typeNames: Record<XdsType, string> = {
  CDS: 'Cluster',
  EDS: 'ClusterLoadAssignment',
  LDS: 'Listener',
  RDS: 'RouteConfiguration',
  SDS: 'Secret',
  ECDS: 'TypedExtensionConfig',
};

/** Connected Envoys by name. The streams of one that is not aggregated are one Envoy. */
export function envoyViews({ envoys }: Pick<ConsoleSources, 'envoys'>): readonly EnvoyView[] {
  const apart: NodeStatus[][] = [];
  const together = new Map<string, NodeStatus[]>();
  for (const stream of envoys()) {
    const known = stream.aggregated ? undefined : together.get(stream.id);
    if (known) known.push(stream);
    else {
      const streams = [stream];
      apart.push(streams);
      if (!stream.aggregated) together.set(stream.id, streams);
    }
  }
  return apart.map(envoyView).toSorted((a, b) => (a.node < b.node ? -1 : 1));
}

export function sidecarViews({
  sidecars,
}: Pick<ConsoleSources, 'sidecars'>): readonly SidecarView[] {
  return sidecars().map(sidecarView);
}

function problemOf(problem: string | undefined): { readonly problem?: string } {
  return problem === undefined ? {} : { problem };
}

function sidecarView(sidecar: SidecarStatus): SidecarView {
  const { sidecarId, name, connected, lastSeenMs, leaseEndsMs, pendingNotices, policy } = sidecar;
  const shadow = policy?.shadow;
  return {
    id: sidecarId,
    name,
    connected,
    leaseEnds: isoTime(leaseEndsMs),
    pendingNotices,
    lastSeen: isoTime(lastSeenMs),
    ...(policy && { policy: { version: policy.version, ...problemOf(policy.problem) } }),
    ...(shadow && {
      shadow: {
        ...(shadow.version === undefined ? {} : { version: shadow.version }),
        ...problemOf(shadow.problem),
      },
    }),
  };
}

/** The state that wants attention most, over all types. */
export function envoyState({ types }: EnvoyView): SyncState {
  const states = Object.values(types).map(({ state }) => state);
  return severity.find((state) => states.includes(state)) ?? 'NEVER_SENT';
}

const severity: readonly SyncState[] = ['NACKED', 'STALE', 'SYNCED', 'NEVER_SENT'];

function envoyView(streams: readonly NodeStatus[]): EnvoyView {
  const types = streams.flatMap((stream) => stream.types);
  return {
    node: streams[0]?.id ?? '',
    cluster: streams[0]?.cluster ?? '',
    address: streams[0]?.remoteAddress ?? '',
    connectedSince: isoTime(Math.min(...streams.map(({ connectedAtMs }) => connectedAtMs))),
    types: {
      CDS: typeView('CDS', types),
      EDS: typeView('EDS', types),
      LDS: typeView('LDS', types),
      RDS: typeView('RDS', types),
      SDS: typeView('SDS', types),
      ECDS: typeView('ECDS', types),
    },
  };
}

function typeView(name: XdsType, types: readonly TypeStatus[]): XdsTypeView {
  const found = types.find(({ typeUrl }) => typeUrl.endsWith(`.${typeNames[name]}`));
  if (!found) return { state: 'NEVER_SENT', version: '' };
  const { state, version, error } = found;
  return { state, version, ...(error === undefined ? {} : { reason: error }) };
}
