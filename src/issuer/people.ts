/** Sample people of the development issuer; config/development/policy.yaml says what they may do. */
export interface Person {
  /** As asked for: `/token?user=alice`. */
  readonly user: string;
  /** The `sub` claim. */
  readonly subject: string;
  readonly groups: readonly string[];
  /** The `team` claim; undefined: none. */
  readonly team: string | undefined;
}

export const people: readonly Person[] = [
  person('alice', 'data', ['everyone', 'data-engineers']),
  person('bob', 'data', ['everyone', 'data-engineers']),
  person('carol', 'ml', ['everyone', 'ml-engineers']),
  person('dave', undefined, ['everyone']),
  { user: 'nightly-reports', subject: 'nightly-reports', groups: ['services'], team: undefined },
];

export function findPerson(user: string): Person | undefined {
  return people.find((candidate) => candidate.user === user);
}

function person(user: string, team: string | undefined, groups: readonly string[]): Person {
  return { user, subject: `${user}@example.com`, groups, team };
}
