/** `policy explain`. */
import { explainRequestOf } from '../../console/explain.js';
import { readNamedText } from '../../lib/files/files.js';
import { GatewayError } from '../../model/errors.js';
import type { Explanation, Policy } from '../../model/policy.js';
import type { Caller } from '../../model/principal.js';
import { compilePolicy } from '../../policy/compile.js';
import { policyOptions } from '../../settings/policy-options.js';
import type { Settings } from '../../settings/table.js';
import { type OnlineContext, queryOf } from '../admin-client.js';
import { type Shown, printable } from '../render.js';

export async function explain(context: OnlineContext): Promise<Shown> {
  const { options } = context;
  const principal = options.get('user');
  const groups = options.get('groups');
  const claims = options.get('claims');
  const userId = options.get('user-id');
  const explanation = await context.client.post<Explanation>('policy/explain', {
    ...queryOf(context, ['issuer', 'service', 'team', 'environment', 'host']),
    ...(principal === undefined ? {} : { principal }),
    ...(groups === undefined ? {} : { groups: groups.split(',').map((group) => group.trim()) }),
    ...(claims === undefined ? {} : { claims: claimsOf(claims) }),
    ...(userId === undefined ? {} : { userId }),
  });
  return { value: explanation, people: () => renderExplanation(explanation) };
}

function claimsOf(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch (error) {
    throw new GatewayError('ARGUMENT_INVALID', `--claims ${text}: this is not JSON`, {
      cause: error,
    });
  }
}

// Why a request is allowed or refused, for people.

/** Ends with a line break. */
function renderExplanation(explanation: Explanation): string {
  const { allowed, caller, policyVersion, refusal, rules, steps, target } = explanation;
  const width = Math.max(...steps.map(({ step }) => step.length));
  const groups = caller.groups.length === 0 ? '' : `, groups ${caller.groups.join(', ')}`;
  const lines = [
    `${caller.subject} (${caller.issuer}${groups}) is ${allowed ? 'allowed' : 'refused'}${target ? ` in ${target.namespace}` : ''} by policy ${policyVersion}.`,
    ...(refusal ? [`${refusal.code}: ${refusal.message}`] : []),
    '',
    ...steps.map(({ step, outcome, reason }) =>
      `  ${step.padEnd(width)}  ${outcome}${reason === '' ? '' : `: ${reason}`}`.trimEnd(),
    ),
    ...(rules.length === 0 ? [] : ['', 'Rules:']),
    ...rules.map(({ number, name, line, allows, reason }) => {
      const title = name === undefined ? '' : ` ${name}`;
      const place = line === undefined ? '' : ` (line ${line})`;
      return `  ${number}${title}${place}: ${allows ? 'allows; ' : ''}${reason}`;
    }),
  ];
  return `${lines.map(cleaned).join('\n')}\n`;
}

/** Keeps the indentation. */
function cleaned(line: string): string {
  const indentation = /^ */.exec(line)?.[0] ?? '';
  return indentation + printable(line);
}

// Answers what a gateway would answer that has the policy of a file in force.

/** A request that is about nobody else is refused before it comes here. */
const NOBODY: Caller = { principal: { issuer: '', subject: '' }, groups: [], claims: {} };

/** Explains only. Rejects with POLICY_INVALID, every mistake on a line of its own. */
export async function policyByFile(
  file: string,
  settings: Settings,
): Promise<OnlineContext['client']> {
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
  const request = explainRequestOf(Buffer.from(JSON.stringify(body)), NOBODY, policy);
  return JSON.parse(JSON.stringify(policy.explain(request)));
}

function notByFile(): Promise<never> {
  return Promise.reject(new TypeError('a file answers only what explains'));
}
