/** In place of a gateway: answers what one would answer that has the policy of a file in force. */
import { explainBody } from '../console/explain-request.js';
import { readNamedText } from '../lib/files/files.js';
import type { Policy } from '../model/policy.js';
import type { Caller } from '../model/principal.js';
import { compilePolicy } from '../policy/compile.js';
import { policyOptions } from '../settings/policy-options.js';
import type { Settings } from '../settings/table.js';
import type { AdminApi } from './command.js';

/** A request that is about nobody else is refused before it comes here. */
const NOBODY: Caller = { principal: { issuer: '', subject: '' }, groups: [], claims: {} };

/** Explains only. Rejects with POLICY_INVALID, every mistake on a line of its own. */
export async function policyByFile(file: string, settings: Settings): Promise<AdminApi> {
  const text = await readNamedText(file, 'POLICY_INVALID', 'this file');
  const policy = compilePolicy(text, file, policyOptions(settings));
  return {
    get: notByFile,
    async post<T>(path: string, body: unknown) {
      if (path !== 'policy/explain') return notByFile();
      // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- src/model/admin-api.ts is the contract
      return explained(policy, body) as T;
    },
  };
}

/** As the admin API answers: as JSON. */
function explained(policy: Policy, body: unknown): unknown {
  const explanation = explainBody(Buffer.from(JSON.stringify(body)), NOBODY, policy);
  return JSON.parse(JSON.stringify(explanation));
}

function notByFile(): Promise<never> {
  return Promise.reject(new TypeError('a file answers only what explains'));
}
