/** The policy's rules for batch jobs, as `src/batch` asks for them. */
import type { Asker, BatchCaller, BatchRules } from '../batch/submission.js';
import { GatewayError } from '../model/errors.js';
import type { Policy } from '../model/policy.js';
import type { Settings } from '../settings/table.js';

/** Who calls a Runner on this machine that asks nobody for a certificate. */
const LOCAL = 'local';

export function batchRules(policy: Policy, settings: Settings): BatchRules {
  return {
    asker(caller) {
      const service = serviceOf(policy, caller);
      return { service, user: caller.user ?? service, groups: caller.groups };
    },
    admit: (_asker, { ttlSeconds }) => ({
      ttlSeconds: ttlSeconds ?? settings.batch.ttlMs / 1000,
      jobsPerUser: undefined,
      jobsPerTeam: undefined,
      jobsPerNamespace: undefined,
    }),
    maySee: (asker: Asker, { user }) => user === asker.user,
  };
}

function serviceOf(policy: Policy, { uriSans, dnsSans, subject }: BatchCaller): string {
  if (uriSans.length === 0 && dnsSans.length === 0 && subject === '') return LOCAL;
  const caller = policy.service({ uriSans, dnsSans, subject });
  if (caller) return caller.principal.subject;
  throw new GatewayError(
    'CALLER_UNKNOWN',
    `The policy names no service with the certificate of ${subject || [...uriSans, ...dnsSans].join(', ')}.`,
  );
}
