import { GatewayError } from '../../src/model/errors.js';
import type { Policy, TargetRequest } from '../../src/model/policy.js';
import type { Caller } from '../../src/model/principal.js';
import { compilePolicy, type PolicyOptions } from '../../src/policy/compile.js';

export const ISSUER = 'https://example.okta.com';

export const options: PolicyOptions = {
  clientUrl: {
    address: undefined,
    port: 15002,
    teamHeader: 'x-doordash-team',
    environmentHeader: 'x-doordash-environment',
  },
  poolDefaults: { size: 10, maximum: 100, startTimeoutMs: 300_000 },
  furtherIssuers: [],
};

export const HEAD = `apiVersion: spark-gateway/v1alpha1
kind: RoutingPolicy
issuers: [{issuer: "${ISSUER}", audiences: [api]}]
`;

/** A policy of `rest` behind the usual head; without `access` nobody may do anything. */
export function policyOf(rest: string, further: Partial<PolicyOptions> = {}): Policy {
  const access = /^access:/m.test(rest) ? '' : 'access: []\n';
  return compilePolicy(`${HEAD}${access}${rest}`, 'policy.yaml', { ...options, ...further });
}

/** Every mistake in this text. */
export function mistakesIn(text: string): readonly string[] {
  try {
    compilePolicy(text, 'policy.yaml', options);
  } catch (error) {
    if (error instanceof GatewayError && error.code === 'POLICY_INVALID') {
      return error.message.split('\n');
    }
    throw error;
  }
  return [];
}

export function caller(subject: string, rest: Partial<Omit<Caller, 'principal'>> = {}): Caller {
  return { principal: { issuer: ISSUER, subject }, groups: [], claims: {}, ...rest };
}

export function request(
  headers: Readonly<Record<string, string>>,
  rest: Partial<TargetRequest> = {},
): TargetRequest {
  return {
    header: (name) => headers[name],
    host: 'spark.example.com',
    caller: caller('alice'),
    ...rest,
  };
}
