/** What the routing policy takes from the settings. */
import { formatAddress } from '../model/address.js';
import { issuerNote } from '../model/issuer-note.js';
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
    furtherIssuers: [...oktaIssuers(settings), ...developmentIssuers(settings)],
  };
}

/** `okta_issuer`, with what Okta puts into its tokens. */
function oktaIssuers({
  oktaAudience,
  oktaCaFile,
  oktaClientId,
  oktaIssuer,
}: Settings): readonly IssuerPolicy[] {
  if (oktaIssuer === undefined) return [];
  return [
    {
      ...OKTA_LIKE,
      issuer: oktaIssuer,
      ...(oktaCaFile === undefined ? {} : { caFile: oktaCaFile }),
      audiences: oktaAudience === undefined ? [] : [oktaAudience],
      clientIds: oktaClientId === undefined ? [] : [oktaClientId],
    },
  ];
}

function developmentIssuers({ issuer }: Settings): readonly IssuerPolicy[] {
  if (!issuer.enabled) return [];
  return [
    {
      ...OKTA_LIKE,
      issuer: `http://${formatAddress(issuer.listenAddr)}`,
      audiences: [issuer.audience],
      clientIds: [issuer.clientId],
    },
  ];
}

const OKTA_LIKE = {
  algorithms: ['RS256'],
  groupsClaim: 'groups',
  principalClaim: 'sub',
  clockSkewMs: 60_000,
} as const;

/** What is probably a mistake, and no rule forbids; each a sentence without its end. */
export function settingsNotes({ oktaIssuer }: Settings): readonly string[] {
  const note = oktaIssuer === undefined ? undefined : issuerNote(oktaIssuer, true);
  return note === undefined ? [] : [`okta_issuer: ${note}`];
}

/** For `settings validate`. */
export function describeGoodSettings(settings: Settings): string {
  const notes = settingsNotes(settings).map((note) => `Note: ${note}.\n`);
  return `The settings are good.\n${notes.join('')}`;
}
