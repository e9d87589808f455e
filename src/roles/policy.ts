/** Where a role has its routing policy from: a file, a custom resource, or the control plane. */
import { join } from 'node:path';
import type { ChannelCredentials, Server } from '@grpc/grpc-js';
import type { Logger } from 'pino';
import { formatAddress } from '../model/address.js';
import type { Clock } from '../model/clock.js';
import type { GatewayError } from '../model/errors.js';
import type { FleetProblem, ProblemSource } from '../model/fleet-problem.js';
import type { PolicyOptions } from '../policy/compile.js';
import { PolicyDistribution } from '../policy/distribution/service.js';
import { RemotePolicy } from '../policy/distribution/remote-policy.js';
import { KeptPolicy } from '../policy/kept-policy.js';
import { PolicyResource } from '../policy/kubernetes/policy-resource.js';
import type { PolicySource } from '../policy/last-good.js';
import { PolicyFile } from '../policy/policy-file.js';
import { policyOptions } from '../settings/for-policy.js';
import type { Settings } from '../settings/table.js';
import type { KubernetesAccess } from './kubernetes.js';

interface Context {
  readonly clock: Clock;
  readonly logger: Logger;
}

/** The policy of a control plane. */
export interface OwnPolicy extends ProblemSource {
  readonly source: PolicySource;
  /** Serves it to sidecars that cannot read it themselves. */
  addTo(server: Server): void;
  /** To be called when this replica begins to lead. */
  leads(): void;
  /** Ends what sidecars have open. */
  endCalls(error: GatewayError): void;
  close(): Promise<void>;
}

/** undefined: the signal fired while there was no policy yet. Rejects with POLICY_INVALID when a file is not good. */
export async function openOwnPolicy(
  settings: Settings,
  {
    access,
    leading,
    clock,
    logger,
  }: Context & {
    /** Where the resource is, if one is named. */
    readonly access: KubernetesAccess | undefined;
    readonly leading: () => boolean;
  },
  stop: AbortSignal,
): Promise<OwnPolicy | undefined> {
  const compile = policyOptions(settings);
  const { policyFile, policyResource } = settings;
  if (policyResource === undefined || !access) {
    const file = await PolicyFile.open(policyFile, { compile, clock, logger });
    return {
      source: file,
      addTo: () => undefined,
      leads: () => undefined,
      problems: () => problemsOf(file),
      endCalls: () => undefined,
      close: async () => file.close(),
    };
  }
  const { namespace, home } = access;
  logger.info(`the policy is RoutingPolicy ${namespace}/${policyResource}`);
  const resource = await PolicyResource.open(
    {
      api: home.api,
      namespace,
      name: policyResource,
      compile,
      kept: kept(settings, 'control-plane', logger),
      leads: leading,
      clock,
      logger,
    },
    stop,
  );
  if (!resource) return undefined;
  const distribution = new PolicyDistribution(resource);
  return {
    source: resource,
    addTo: (server) => distribution.addTo(server),
    leads: () => resource.report(),
    problems: () =>
      problemsOf(resource).map((problem) => ({ ...problem, object: resource.reference })),
    endCalls: (error) => distribution.close(error),
    close: () => resource.close(),
  };
}

/** The policy of a sidecar; undefined: the signal fired while there was none yet. */
export async function openSidecarPolicy(
  settings: Settings,
  {
    compile,
    credentials,
    clock,
    logger,
  }: Context & {
    readonly compile: PolicyOptions;
    readonly credentials: ChannelCredentials;
  },
  stop: AbortSignal,
): Promise<PolicySource | undefined> {
  const { assignments, mtls, policyFile, policyResource } = settings;
  if (policyResource === undefined) {
    return PolicyFile.open(policyFile, { compile, clock, logger });
  }
  return RemotePolicy.open(
    {
      address: formatAddress(assignments.connectAddr),
      serverName: mtls.serverName,
      credentials,
      compile,
      kept: kept(settings, 'authz', logger),
      clock,
      logger,
    },
    stop,
  );
}

/** Parts that share a folder keep a copy each. */
function kept({ stateDir }: Settings, role: string, logger: Logger): KeptPolicy {
  return new KeptPolicy(join(stateDir, `policy-of-${role}.yaml`), logger);
}

function problemsOf({ status: { error } }: PolicySource): FleetProblem[] {
  return error === undefined ? [] : [{ kind: 'policy_invalid', message: error }];
}
