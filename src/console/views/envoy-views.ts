/** Envoys and sidecars as the admin API shows them. */
import type {
  EnvoyView,
  SidecarView,
  XdsType,
  XdsTypeView,
  ShadowView,
  PolicyRevisionView,
  PolicyView,
} from '../../model/admin-api.js';
import { isoTime } from '../../model/clock.js';
import type {
  ConnectedEnvoy,
  SidecarStatus,
  SyncState,
  TypeStatus,
  ShadowCount,
  ShadowReport,
  PolicyRevision,
} from '../../model/reports.js';
import type { ConsoleSources } from '../console-sources.js';

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
  const apart: ConnectedEnvoy[][] = [];
  const together = new Map<string, ConnectedEnvoy[]>();
  for (const stream of envoys()) {
    const key = `${stream.replica ?? ''} ${stream.id}`;
    const known = stream.aggregated ? undefined : together.get(key);
    if (known) known.push(stream);
    else {
      const streams = [stream];
      apart.push(streams);
      if (!stream.aggregated) together.set(key, streams);
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

function envoyView(streams: readonly ConnectedEnvoy[]): EnvoyView {
  const replica = streams[0]?.replica;
  const types = streams.flatMap((stream) => stream.types);
  return {
    node: streams[0]?.id ?? '',
    cluster: streams[0]?.cluster ?? '',
    address: streams[0]?.remoteAddress ?? '',
    ...(replica === undefined ? {} : { replica }),
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

// What sidecars try out, taken together, as the admin API shows it.

const MOST_EXAMPLES = 20;

export function shadowView({ sidecars }: Pick<ConsoleSources, 'sidecars'>): ShadowView {
  const reports = sidecars().flatMap(({ policy }) => policy?.shadow ?? []);
  const examples = reports
    .flatMap((report) => report.examples)
    .toSorted((a, b) => b.atMs - a.atMs)
    .slice(0, MOST_EXAMPLES);
  return {
    candidates: candidatesOf(reports),
    counts: totalsOf(reports),
    examples: examples.map(({ atMs, ...example }) => ({ ...example, at: isoTime(atMs) })),
  };
}

function candidatesOf(reports: readonly ShadowReport[]): ShadowView['candidates'] {
  const candidates = new Map<string, { version: string; sidecars: number; problem?: string }>();
  for (const { version = '', problem } of reports) {
    if (version === '' && problem === undefined) continue;
    const key = JSON.stringify([version, problem]);
    const known = candidates.get(key);
    if (known) known.sidecars++;
    else {
      const told = problem === undefined ? {} : { problem };
      candidates.set(key, { version, sidecars: 1, ...told });
    }
  }
  return [...candidates.values()].toSorted((a, b) => b.sidecars - a.sidecars);
}

function totalsOf(reports: readonly ShadowReport[]): readonly ShadowCount[] {
  const totals = new Map<string, ShadowCount>();
  for (const one of reports.flatMap(({ counts }) => counts)) {
    const key = `${one.source} ${one.would} ${one.code}`;
    totals.set(key, { ...one, count: one.count + (totals.get(key)?.count ?? 0) });
  }
  return [...totals.values()].toSorted((a, b) => b.count - a.count);
}

// The policy as the admin API shows it.

export function policyView({ policyReport }: Pick<ConsoleSources, 'policyReport'>): PolicyView {
  const { source, problem, ...revision } = policyReport();
  return {
    ...revisionView(revision),
    source,
    ...(problem === undefined ? {} : { problem }),
  };
}

/** Newest first. */
export function policyHistoryView({
  policyHistory,
}: Pick<ConsoleSources, 'policyHistory'>): readonly PolicyRevisionView[] {
  return policyHistory().map(revisionView);
}

function revisionView({ version, loadedAtMs, text }: PolicyRevision): PolicyRevisionView {
  return { version, loadedAt: isoTime(loadedAtMs), text };
}
