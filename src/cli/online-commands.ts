/** The commands that ask a gateway that runs. */
import { driverPhases } from '../model/driver.js';
import type { CommandDescription, OptionDescription } from './commands.js';
import { JSONPATH, outputForms } from './render.js';

/** Which gateway, as whom, and how the answer is shown. */
export const onlineOptions: readonly OptionDescription[] = [
  {
    name: 'server',
    value: 'url',
    about:
      'Where the control plane answers, such as https://gateway.example.com; else SPARK_GATEWAY_ADMIN_URL, else admin.listen_addr of the settings.',
  },
  {
    name: 'token-file',
    value: 'file',
    about:
      'Holds the token that says who you are; else the variable SPARK_GATEWAY_TOKEN, else the development issuer where the settings enable it.',
  },
  {
    name: 'as',
    value: 'person',
    about: 'With the development issuer: whose token it gives; else alice.',
  },
  { name: 'ca-file', value: 'file', about: 'CA of the certificate behind an https URL (PEM).' },
  {
    name: 'output',
    short: 'o',
    value: 'form',
    about:
      "A table for people, a wider one, everything for programs, names only, or what a path such as '{.items[*].uid}' finds.",
    choices: outputForms,
    openChoices: [JSONPATH],
  },
];

const watch: OptionDescription = {
  name: 'watch',
  short: 'w',
  about: 'Shows it again every two seconds, until Ctrl-C.',
};

function filter(name: string, about: string, choices?: readonly string[]): OptionDescription {
  return { name, value: name, about, ...(choices ? { choices } : {}) };
}

const ofNamespace: OptionDescription = {
  ...filter('namespace', 'Only those in this namespace.'),
  short: 'n',
};

/** What every list takes. */
const list: readonly OptionDescription[] = [
  {
    name: 'selector',
    short: 'l',
    value: 'selector',
    about:
      'Only rows of which this holds, such as team=data,state!=live; fields are those of the JSON form.',
  },
  { name: 'sort-by', value: 'path', about: 'In the order of a field, such as .createdAt.' },
  { name: 'no-headers', about: 'Tables without headings.' },
  watch,
];
/** The same, of things in namespaces. */
const namespacedList: readonly OptionDescription[] = [
  ofNamespace,
  { name: 'all-namespaces', short: 'A', about: 'Those in all namespaces, which is usual here.' },
  ...list,
];

/** Drivers that belong together; all that are given must hold. */
const chosenBy: readonly OptionDescription[] = [
  { name: 'node', value: 'node', about: 'All drivers on this Kubernetes node.' },
  { name: 'namespace', short: 'n', value: 'namespace', about: 'All drivers in this namespace.' },
  {
    name: 'template',
    value: 'template',
    about: 'All drivers of the template (variant) of this name.',
  },
  { name: 'outdated', about: 'All drivers whose template has changed since they were made.' },
];
const dryRun: OptionDescription = {
  name: 'dry-run',
  about: 'Says which drivers are meant, and does nothing.',
};

export const onlineCommands = [
  {
    name: 'status',
    about: 'What there is and what is wrong, at a glance.',
    options: [watch],
    settingsOf: 'operator',
    online: true,
  },
  {
    name: 'sessions',
    about: 'Who has a session, where, since when; with an id, one session.',
    operands: '[<session>]',
    options: [
      filter('team', 'Only those of this team.'),
      filter('environment', 'Only those in this environment.'),
      filter('principal', 'Only those of this person or service.'),
      { name: 'driver', value: 'driver', about: 'Only those on this driver.' },
      { name: 'mine', about: 'Only your own; needs no role.' },
      ...namespacedList,
    ],
    settingsOf: 'operator',
    online: true,
  },
  {
    name: 'drivers',
    about: 'Each driver with its phase and the reason; with an id, one driver.',
    operands: '[<driver>]',
    options: [
      filter('phase', 'Only those in this phase.', driverPhases),
      { name: 'all', about: 'Those that are gone, too, as long as they are remembered.' },
      ...namespacedList,
    ],
    settingsOf: 'operator',
    online: true,
  },
  {
    name: 'pools',
    about: 'How many drivers each namespace has, in which phases.',
    options: [filter('team', 'Only those of this team.'), ...namespacedList],
    settingsOf: 'operator',
    online: true,
  },
  {
    name: 'envoys',
    about:
      "Each Envoy's state for each type of resource: SYNCED, STALE, NACKED with the reason, NEVER_SENT.",
    options: list,
    settingsOf: 'operator',
    online: true,
  },
  {
    name: 'sidecars',
    about:
      'Each authz process that the leader knows: connected or not, the policy that it decides by, when it was last heard of.',
    options: list,
    settingsOf: 'operator',
    online: true,
  },
  {
    name: 'problems',
    about: 'What is wrong, about what, since when.',
    options: list,
    settingsOf: 'operator',
    online: true,
  },
  {
    name: 'drain',
    about:
      'Gives a driver, or all that are chosen, no new session; each ends when the last one leaves.',
    operands: '<driver>',
    insteadOfOperand: chosenBy.map(({ name }) => name),
    options: [
      ...chosenBy,
      {
        name: 'deadline',
        value: 'time',
        about:
          'When the sessions that are left are ended: a duration from now, such as 10m, or a time such as 2030-01-31T18:00:00Z; else never.',
      },
      { name: 'wait', about: 'Waits until the driver has ended.' },
      dryRun,
    ],
    settingsOf: 'operator',
    online: true,
  },
  {
    name: 'undrain',
    about: 'Takes a drain back, as long as the driver has not begun to end.',
    operands: '<driver>',
    insteadOfOperand: chosenBy.map(({ name }) => name),
    options: [...chosenBy, dryRun],
    settingsOf: 'operator',
    online: true,
  },
  {
    name: 'release',
    about: 'Ends a session, your own without a role. Its client is told at its next request.',
    operands: '<session>',
    insteadOfOperand: ['mine'],
    options: [{ name: 'mine', about: 'Ends all that are your own.' }],
    settingsOf: 'operator',
    online: true,
  },
  {
    name: 'evict',
    about: 'Ends a driver now, with its sessions. Their clients are told at their next request.',
    operands: '<driver>',
    options: [{ name: 'wait', about: 'Waits until the driver has ended.' }],
    settingsOf: 'operator',
    online: true,
  },
  {
    name: 'policy explain',
    about:
      'Why the policy in force allows or refuses a request, step by step and rule by rule. Without --user and --service it is about yourself.',
    options: [
      {
        name: 'file',
        value: 'file',
        about:
          'By this policy, with the settings of authz, and without a gateway; instead of the one in force.',
      },
      { name: 'user', value: 'principal', about: 'Whose request, such as ann@example.com.' },
      { name: 'groups', value: 'a,b', about: 'The groups in their token.' },
      { name: 'claims', value: 'json', about: `Further claims, such as '{"team": "data"}'.` },
      { name: 'issuer', value: 'url', about: 'Who gave the token; else the first of the policy.' },
      { name: 'service', value: 'name', about: 'A service of the policy, instead of a person.' },
      { name: 'team', value: 'team', about: 'As in the header that names the team.' },
      {
        name: 'environment',
        value: 'environment',
        about: 'As in the header that names the environment.',
      },
      { name: 'host', value: 'host', about: 'The host that the client connects to.' },
      { name: 'user-id', value: 'text', about: 'user_id of the connection string.' },
    ],
    settingsOf: 'operator',
    online: true,
  },
  {
    name: 'policy diff',
    about:
      'What a policy would change for the sessions and people of now. Exit code 1 if it would change anything.',
    operands: '<file>',
    settingsOf: 'operator',
    online: true,
  },
] as const satisfies readonly CommandDescription[];

export type OnlineCommandName = (typeof onlineCommands)[number]['name'];
