/** A policy of a large company, and its people. */
import type { Caller } from '../../src/model/principal.js';

export const ISSUER = 'https://example.okta.com';
export const TEAMS = 1000;
export const RULES = 5000;

const environments = ['dev', 'staging', 'prod'];

/**
 * A team has five rules: its people in dev and staging, its owners everywhere, its service, and two
 * patterns, of which a caller with many groups meets all.
 */
export function policyText(rules = RULES): string {
  const lines = [
    'apiVersion: spark-gateway/v1alpha1',
    'kind: RoutingPolicy',
    `issuers: [{issuer: "${ISSUER}", audiences: [api]}]`,
    'targets: {environments: [dev, staging, prod], team_claim: team}',
    'access:',
  ];
  for (let i = 0; i < rules; i++) {
    const team = Math.floor((i * TEAMS) / rules);
    const who = [
      `groups: [team${team}-people]`,
      `groups: [team${team}-owners, platform]`,
      `principals: [svc-team${team}@example.com]`,
      `groups: ["team${team}-oncall-*"]`,
      `principals: ["*@team${team}.example.com"]`,
    ][i % 5];
    lines.push(
      `  - name: rule ${i}`,
      `    who: {${who}}`,
      `    what: {teams: [team${team}], environments: [${environments.slice(0, 1 + (i % 3)).join(', ')}]}`,
    );
  }
  lines.push('pools:');
  for (let team = 0; team < TEAMS; team++) {
    lines.push(`  - {match: {teams: [team${team}]}, size: ${team % 3}, maximum: 20}`);
  }
  return `${lines.join('\n')}\n`;
}

/** The same for `i`, but another value: one whom the gateway sees for the first time. */
export function person(i: number, groups: number): Caller {
  const team = i % TEAMS;
  return {
    principal: { issuer: ISSUER, subject: `user${i}@example.com` },
    groups: [
      ...Array.from({ length: groups - 1 }, (_, n) => `some-other-group-${n}`),
      `team${team}-people`,
    ],
    claims: { team: `team${team}` },
  };
}
