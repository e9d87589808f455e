/** What the control plane's HTTP port tells of drivers, sessions, Envoys and the policy, as JSON. */
import type { AdminHandler } from '../metrics/admin-server.js';
import type { Ledger } from '../model/ledger.js';
import type { PolicyFile } from '../policy/policy-file.js';
import type { PoolController } from '../pools/controller.js';
import type { SidecarStatus } from '../sessions/notices.js';
import type { DiscoveryHub } from '../xds/hub.js';

export interface AdminSources {
  readonly pools: PoolController;
  readonly xds: DiscoveryHub;
  readonly ledger: Ledger;
  readonly sidecars: () => readonly SidecarStatus[];
  /** Whether this process leads, and who does. */
  readonly replica: () => Readonly<Record<string, unknown>>;
  readonly policy: PolicyFile;
}

export function adminHandlers(sources: AdminSources): Readonly<Record<string, AdminHandler>> {
  const { pools, xds, ledger, sidecars, policy, replica } = sources;
  return {
    'GET /drivers': json(() => pools.report()),
    'GET /sessions': json(() => sessionsOf(ledger)),
    'GET /envoys': json(() => xds.nodes()),
    'GET /sidecars': json(() => sidecars()),
    'GET /replica': json(() => replica()),
    'GET /policy': json(() => policy.status),
    'GET /readyz/pools': (_request, response) => {
      const missing = missingDrivers(pools, policy);
      response
        .writeHead(missing === undefined ? 200 : 503, { 'content-type': 'text/plain' })
        .end(`${missing ?? 'ok'}\n`);
    },
  };
}

function json(read: () => unknown): AdminHandler {
  return (_request, response) => {
    response
      .writeHead(200, { 'content-type': 'application/json' })
      .end(`${JSON.stringify(read(), undefined, 2)}\n`);
  };
}

/** Every live session with its driver. */
function sessionsOf(ledger: Ledger) {
  return [...ledger.all()].flatMap((record) =>
    Object.values(record.sessions).map((session) => ({
      ...session,
      driver: record.uid,
      namespace: record.namespace,
    })),
  );
}

/** Which warm pool has no driver yet, and why; undefined when each has one. */
function missingDrivers(pools: PoolController, policy: PolicyFile): string | undefined {
  const { pools: reports } = pools.report();
  for (const namespace of policy.current.warmNamespaces) {
    const size = policy.current.pool(namespace)?.size ?? 0;
    const pool = reports.find((report) => report.namespace === namespace);
    if (size === 0 || (pool && pool.available + pool.inUse > 0)) continue;
    const failure = pool?.failure === undefined ? '' : `: ${pool.failure}`;
    return `a first driver of ${namespace} (${pool?.warming ?? 0} starting)${failure}`;
  }
  return undefined;
}
