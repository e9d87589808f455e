/** What somebody may choose from in the Playground, as far as the policy says it. */
import { X509Certificate } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { peerIdentity } from '../lib/grpc/tls.js';
import { LOCAL_SERVICE } from '../model/batch-policy.js';
import { isPlayground } from '../model/job.js';
import type { ChoicesView } from '../model/playground-api.js';
import type { Policy } from '../model/policy.js';
import type { Caller } from '../model/principal.js';

export interface ChoiceOptions {
  readonly policy: Policy;
  /** As which service the Playground calls Runners; undefined: as none that the policy names. */
  readonly service: string | undefined;
  /** Environments that are known beside those that the policy's rules name. */
  readonly environments: readonly string[];
  readonly localPaths: boolean;
}

/** A rule for any team or environment names none, and a person may write one. */
export function choicesOf(caller: Caller, options: ChoiceOptions): ChoicesView {
  const { policy, service, localPaths } = options;
  const identity = { user: caller.principal.subject, groups: caller.groups };
  const grants =
    service === undefined ? [] : (policy.batch?.grants({ service, ...identity }) ?? []);
  const teams = literal(grants.flatMap((grant) => grant.teams));
  const wanted = grants.flatMap((grant) => grant.environments);
  const known = literal([...wanted, ...options.environments]);
  const environments = known.filter((name) => wanted.some((pattern) => fits(pattern, name)));
  const { team } = caller.claims;
  const own =
    typeof team === 'string' && (teams.length === 0 || teams.includes(team)) ? team : null;
  return {
    teams: own !== null && teams.length === 0 ? [own] : teams,
    environments,
    sandbox_environments: environments.filter(isPlayground),
    defaults: {
      team: own ?? teams[0] ?? null,
      environment: environments.find(isPlayground) ?? environments[0] ?? null,
    },
    local_paths: localPaths,
  };
}

/** The service that this certificate stands for. */
export function serviceOfCertificate(
  policy: Policy,
  certFile: string | undefined,
): string | undefined {
  if (certFile === undefined) return LOCAL_SERVICE;
  const certificate = new X509Certificate(readFileSync(certFile));
  const { uris: uriSans, dnsNames: dnsSans } = peerIdentity(certificate);
  const subject = certificate.subject.split('\n').toReversed().join(',');
  return policy.service({ uriSans, dnsSans, subject })?.principal.subject;
}

function literal(names: readonly string[]): string[] {
  return [...new Set(names.filter((name) => !name.includes('*')))].toSorted();
}

/** `*` stands for any text. */
function fits(pattern: string, name: string): boolean {
  const parts = pattern.split('*').map((part) => part.replaceAll(/[.+?^${}()|[\]\\]/g, '\\$&'));
  return new RegExp(`^${parts.join('.*')}$`).test(name);
}
