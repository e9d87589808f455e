/** What the routing policy takes from the settings. */
import { formatAddress } from '../model/address.js';
import type { IssuerPolicy } from '../model/policy.js';
import type { Settings } from './table.js';

/** Options for compiling a policy. */
export function policyOptions(settings: Settings): {
  readonly clientUrl: {
    readonly address: string | undefined;
    readonly port: number;
    readonly teamHeader: string;
    readonly environmentHeader: string;
  };
  readonly poolDefaults: {
    readonly size: number;
    readonly maximum: number;
    readonly startTimeoutMs: number;
  };
  readonly furtherIssuers: readonly IssuerPolicy[];
} {
  const { headers, hotPoolSize, listenAddr, pools, publicAddr } = settings;
  return {
    clientUrl: {
      address: publicAddr && formatAddress(publicAddr),
      port: listenAddr.port,
      teamHeader: headers.team,
      environmentHeader: headers.environment,
    },
    poolDefaults: {
      size: hotPoolSize,
      maximum: pools.maximum,
      startTimeoutMs: pools.startTimeoutMs,
    },
    furtherIssuers: oktaIssuer(settings),
  };
}

/** `okta_issuer`, with what Okta puts into its tokens. */
function oktaIssuer(settings: Settings): readonly IssuerPolicy[] {
  if (settings.oktaIssuer === undefined) return [];
  return [
    {
      issuer: settings.oktaIssuer,
      audiences: settings.oktaAudience === undefined ? [] : [settings.oktaAudience],
      clientIds: settings.oktaClientId === undefined ? [] : [settings.oktaClientId],
      algorithms: ['RS256'],
      groupsClaim: 'groups',
      principalClaim: 'sub',
      clockSkewMs: 60_000,
    },
  ];
}
