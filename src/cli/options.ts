/** Options that several commands take. */
import type { CommandDescription, OptionDescription } from './command.js';
import { JSONPATH, outputForms } from './render.js';

/** Of what is shown without a gateway. */
export const outputOption: OptionDescription = {
  name: 'output',
  short: 'o',
  value: 'form',
  about: 'A table for people, or everything for programs.',
  choices: ['table', 'json', 'yaml'],
};

/** Which gateway. */
export const gatewayOptions: readonly OptionDescription[] = [
  {
    name: 'server',
    value: 'url',
    about:
      'Where the control plane answers, such as https://gateway.example.com; else SPARK_GATEWAY_ADMIN_URL, else admin.listen_addr of the settings.',
  },
  { name: 'ca-file', value: 'file', about: 'CA of the certificate behind an https URL (PEM).' },
];

/** Which gateway, as whom, and how the answer is shown. */
const onlineOptions: readonly OptionDescription[] = [
  ...gatewayOptions,
  {
    name: 'token-file',
    value: 'file',
    about:
      'Holds the token that says who you are; else the variable SPARK_GATEWAY_TOKEN, else what "login" has left, else the development issuer where the settings enable it.',
  },
  {
    name: 'as',
    value: 'person',
    about: 'With the development issuer: whose token it gives; else alice.',
  },
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

export const watch: OptionDescription = {
  name: 'watch',
  short: 'w',
  about: 'Shows it again every two seconds, until Ctrl-C.',
};

export function filter(
  name: string,
  about: string,
  choices?: readonly string[],
): OptionDescription {
  return { name, value: name, about, ...(choices ? { choices } : {}) };
}

const ofNamespace: OptionDescription = {
  ...filter('namespace', 'Only those in this namespace.'),
  short: 'n',
};

/** What every list takes. */
export const list: readonly OptionDescription[] = [
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
export const namespacedList: readonly OptionDescription[] = [
  ofNamespace,
  { name: 'all-namespaces', short: 'A', about: 'Those in all namespaces, which is usual here.' },
  ...list,
];

const settingsOptions: readonly OptionDescription[] = [
  { name: 'config', short: 'c', value: 'file', about: 'The settings file.' },
  { name: 'set', short: 's', value: 'name=value', about: 'One setting; may be given again.' },
];

export const helpOptions: readonly OptionDescription[] = [
  { name: 'help', short: 'h', about: 'Says what a command does and takes.' },
  { name: 'version', short: 'V', about: 'Says which release this is.' },
];

/** Its own, and what every command of its kind takes. */
export function optionsOf(command: CommandDescription): readonly OptionDescription[] {
  return [
    ...(command.options ?? []),
    ...(command.online === true ? onlineOptions : []),
    ...(command.settingsOf === undefined ? [] : settingsOptions),
  ];
}
