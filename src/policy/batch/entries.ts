/** The format of a policy's part about batch jobs. */
import {
  about,
  list,
  object,
  optional,
  record,
  required,
  text,
  type TypeOf,
  withDefault,
} from '../../lib/yaml/schema.js';
import {
  boolean,
  choice,
  duration,
  integer,
  matching,
  plainText,
  size,
  textType,
} from '../../lib/yaml/text-types.js';
import { labelPattern, name, pattern } from '../texts.js';
import { whoEntry } from '../who.js';

/** Teams of manifests may be no labels. */
const teamPattern = matching(
  'a team, in which * stands for any text',
  /^[A-Za-z0-9._*-]{1,128}$/,
  128,
);

const what = object('what', {
  teams: about('Jobs of these teams.', required(list(text(teamPattern), { least: 1 }))),
  environments: about('In these environments.', required(list(text(labelPattern), { least: 1 }))),
});

const speakFor = object('an entry of speak_for', {
  services: about(
    'Services that call the Runner, by their names; "local" is the one on its own machine.',
    required(list(text(pattern), { least: 1 })),
  ),
  users: about(
    'Users that they may act for; * stands for any text.',
    required(list(text(pattern), { least: 1 })),
  ),
  groups: about(
    'Groups that are believed of what they say of a user; default: none.',
    withDefault(list(text(pattern)), []),
  ),
  environments: about(
    'In these environments; default: any.',
    withDefault(list(text(labelPattern), { least: 1 }), ['*']),
  ),
});

const submit = object('a submit rule', {
  name: about('For people only.', optional(text(plainText))),
  who: about(
    'Whom it is for: users by principals and groups, services that act for themselves by services.',
    required(whoEntry),
  ),
  what: about('Where they may submit jobs.', required(what)),
});

const read = object('a read rule', {
  name: about('For people only.', optional(text(plainText))),
  who: about('Whom it is for, as in a submit rule.', required(whoEntry)),
  what: about('Whose jobs they may see, beside their own.', required(what)),
  cancel: about('Whether they may cancel them, too.', withDefault(text(boolean), false)),
});

const match = object('match', {
  teams: about('Jobs of these teams.', withDefault(list(text(teamPattern)), [])),
  environments: about('In these environments.', withDefault(list(text(labelPattern)), [])),
  namespaces: about('In these namespaces.', withDefault(list(text(labelPattern)), [])),
});

const engineVersion = matching("a release of Spark's such as 3.5, in quotes", /^\d{1,2}\.\d{1,2}$/);

const engine = object('an engine', {
  template: about(
    'The template that its applications are made from; default: that of the settings.',
    optional(text(name)),
  ),
  image: about(
    'The image that they run; default: that of the template.',
    optional(
      text(
        textType(
          'an image such as registry.example.com/spark:3.5.8',
          (written) =>
            /^[A-Za-z0-9][A-Za-z0-9._:/@-]{0,511}$/.test(written) ? written : undefined,
          { type: 'string', maxLength: 512, pattern: '^[A-Za-z0-9][A-Za-z0-9._:/@-]*$' },
        ),
      ),
    ),
  ),
});

const jobs = (whose: string) =>
  about(
    `Jobs of one ${whose} that have not ended, at a time; default: no limit.`,
    optional(text(integer(0, 1_000_000))),
  );
const largestCores = about('CPU cores at most.', optional(text(integer(1, 64))));
const largestMemory = about('Memory at most.', optional(text(size('512MiB', '1TiB'))));

const limit = object('a batch limit', {
  match: about(
    'Which jobs it is for: all that are given must match; default: every one.',
    optional(match),
  ),
  jobs_per_owner: jobs('user'),
  jobs_per_team: jobs('team'),
  jobs_per_namespace: jobs('namespace'),
  deadline: about(
    'ttl_seconds at most; default: what the options allow.',
    optional(text(duration('1m', '1d'))),
  ),
  sandbox: about(
    'required: jobs cannot leave the sandbox.',
    withDefault(text(choice('optional', 'required')), 'optional'),
  ),
  engines: about(
    'The releases of Spark that jobs may use; default: any that the gateway has.',
    optional(record(engineVersion, engine)),
  ),
  largest: about(
    'What a job may ask for.',
    optional(
      object('largest', {
        driver: about(
          'Its driver.',
          optional(object('largest of a driver', { cores: largestCores, memory: largestMemory })),
        ),
        executor: about(
          'Each of its executors, and how many.',
          optional(
            object('largest of an executor', {
              cores: largestCores,
              memory: largestMemory,
              instances: about(
                'Executors at most, with dynamic allocation, too.',
                optional(text(integer(1, 1000))),
              ),
            }),
          ),
        ),
      }),
    ),
  ),
});

export const batchEntry = object('batch', {
  speak_for: about(
    'Which services may act for which users. A service may always act for itself.',
    withDefault(list(speakFor), []),
  ),
  submit: about(
    'Who may submit jobs where. What no rule allows is refused.',
    withDefault(list(submit), []),
  ),
  read: about(
    'Who may see jobs of others. What no rule allows is seen by its owner only.',
    withDefault(list(read), []),
  ),
  limits: about(
    'What a job may have: the first entry that matches counts.',
    withDefault(list(limit), []),
  ),
});

export type BatchEntry = TypeOf<typeof batchEntry>;
export type SpeakForEntry = BatchEntry['speak_for'][number];
export type SubmitEntry = BatchEntry['submit'][number];
export type ReadEntry = BatchEntry['read'][number];
export type BatchLimitEntry = BatchEntry['limits'][number];
