/** For whom services may act, who may submit jobs where, and who may see them. */
import { quote } from '../../lib/yaml/problem.js';
import type { Reader } from '../../lib/yaml/schema.js';
import {
  type BatchIdentity,
  type JobAccess,
  LOCAL_SERVICE,
  type OwnedJob,
  ownerOf,
  type SubmitGrant,
} from '../../model/batch-policy.js';
import { ASSERTED_ISSUER, type Caller, CERTIFICATE_ISSUER } from '../../model/principal.js';
import { NameSet } from '../name-patterns.js';
import { checkWho, compileWho, type KnownNames, matchesWho, type Who } from '../who.js';
import type { BatchEntry } from './entries.js';

interface SpeakRule {
  readonly services: NameSet;
  readonly users: NameSet;
  readonly groups: NameSet;
  readonly environments: NameSet;
  readonly environmentNames: readonly string[];
}

interface PlaceRule {
  readonly who: Who;
  readonly teams: NameSet;
  readonly environments: NameSet;
  readonly grant: SubmitGrant;
  /** The rule's name, or its line. */
  readonly title: string;
  readonly access: Exclude<JobAccess, 'none'>;
}

/** Users of text that names one thing only. */
function isUser(user: string): boolean {
  return /^[^\p{Cc}\p{Cs}\s]{1,254}$/u.test(user) && !user.startsWith('service:');
}

export class BatchRules {
  readonly #speakers: readonly SpeakRule[];
  readonly #submit: readonly PlaceRule[];
  readonly #read: readonly PlaceRule[];

  constructor(entry: BatchEntry, declared: KnownNames, reader: Reader) {
    const known = { ...declared, services: [...declared.services, LOCAL_SERVICE] };
    for (const { who } of [...entry.submit, ...entry.read]) {
      checkWho(who, known, reader);
      if (who.issuers.length === 0) continue;
      reader.refuseAt(
        who,
        'issuers',
        'users of batch jobs are named by services, not by tokens: leave issuers out',
      );
    }
    this.#speakers = entry.speak_for.map((rule) => {
      for (const service of rule.services) {
        const services = new NameSet([service]);
        if (known.services.some((name) => services.matches(name))) continue;
        reader.refuseAt(
          rule,
          'services',
          `${quote(service)} is no service of this policy; there are ${known.services.join(', ')}`,
        );
      }
      return {
        services: new NameSet(rule.services),
        users: new NameSet(rule.users),
        groups: new NameSet(rule.groups),
        environments: new NameSet(rule.environments),
        environmentNames: rule.environments,
      };
    });
    const placeRule = (
      rule: BatchEntry['submit'][number],
      access: PlaceRule['access'],
    ): PlaceRule => ({
      who: compileWho(rule.who),
      teams: new NameSet(rule.what.teams),
      environments: new NameSet(rule.what.environments),
      grant: rule.what,
      title: rule.name ?? `line ${reader.placeOf(rule)?.line}`,
      access,
    });
    this.#submit = entry.submit.map((rule) => placeRule(rule, 'cancel'));
    this.#read = entry.read.map((rule) => placeRule(rule, rule.cancel ? 'cancel' : 'read'));
  }

  /** Whom the rules are asked about: the service, or the user with the groups that are believed. undefined: it may not act for this user there. */
  callerOf({ groups, service, user }: BatchIdentity, environment: string): Caller | undefined {
    if (user === '') return serviceCaller(service);
    if (!isUser(user)) return undefined;
    const speakers = this.#speakersOf(service, user).filter((rule) =>
      rule.environments.matches(environment),
    );
    if (speakers.length === 0) return undefined;
    return userCaller(
      user,
      groups.filter((group) => speakers.some((rule) => rule.groups.matches(group))),
    );
  }

  /** Environments in which a service may act for this user, in the policy's words. */
  environmentsFor({ service, user }: BatchIdentity): readonly string[] {
    if (user === '') return ['*'];
    if (!isUser(user)) return [];
    return [...new Set(this.#speakersOf(service, user).flatMap((rule) => rule.environmentNames))];
  }

  #speakersOf(service: string, user: string): readonly SpeakRule[] {
    return this.#speakers.filter(
      (rule) => rule.services.matches(service) && rule.users.matches(user),
    );
  }

  /** The rule that allows it, by its name or line. */
  submitRule(caller: Caller, team: string, environment: string): string | undefined {
    return this.#submit.find(
      (rule) =>
        rule.teams.matches(team) &&
        rule.environments.matches(environment) &&
        matchesWho(rule.who, caller),
    )?.title;
  }

  grants(identity: BatchIdentity): readonly SubmitGrant[] {
    const open = this.environmentsFor(identity);
    return this.#submit.flatMap(({ environments, grant, who }): SubmitGrant[] => {
      // A pattern on one side narrows a name, or the same pattern, on the other.
      const both = [
        ...grant.environments.filter((name) =>
          open.some((other) => new NameSet([other]).matches(name)),
        ),
        ...open.filter((name) => environments.matches(name)),
      ];
      const allowed = [...new Set(both)].filter((name) => {
        const caller = this.callerOf(identity, name);
        return caller !== undefined && matchesWho(who, caller);
      });
      return allowed.length === 0 ? [] : [{ teams: grant.teams, environments: allowed }];
    });
  }

  accessOf(identity: BatchIdentity): (job: OwnedJob) => JobAccess {
    const owner = ownerOf(identity);
    const callers = new Map<string, Caller | undefined>();
    const rules = new Map<string, readonly PlaceRule[]>();
    return (job) => {
      const { environment } = job;
      if (!callers.has(environment)) {
        const found = this.callerOf(identity, environment);
        callers.set(environment, found);
        rules.set(
          environment,
          found === undefined
            ? []
            : this.#read.filter(
                (rule) => rule.environments.matches(environment) && matchesWho(rule.who, found),
              ),
        );
      }
      if (callers.get(environment) === undefined) return 'none';
      if (job.owner === owner) return 'cancel';
      const matching = (rules.get(environment) ?? []).filter(({ teams }) =>
        teams.matches(job.team),
      );
      if (matching.some(({ access }) => access === 'cancel')) return 'cancel';
      return matching.length > 0 ? 'read' : 'none';
    };
  }
}

function serviceCaller(service: string): Caller {
  return { principal: { issuer: CERTIFICATE_ISSUER, subject: service }, groups: [], claims: {} };
}

function userCaller(user: string, groups: readonly string[]): Caller {
  return { principal: { issuer: ASSERTED_ISSUER, subject: user }, groups, claims: {} };
}
