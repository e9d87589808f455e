/** Shell completion, made from the table of commands: what can be typed where. */
import type { CommandDescription, OptionDescription } from './command.js';
import { helpOptions, optionsOf } from './options.js';

export const shells = ['bash', 'zsh', 'fish'] as const;
export type Shell = (typeof shells)[number];

export function isShell(text: string): text is Shell {
  return shells.some((shell) => shell === text);
}

export function renderCompletion(shell: Shell, commands: readonly CommandDescription[]): string {
  switch (shell) {
    case 'bash':
      return bash(commands);
    case 'zsh':
      // zsh runs completions that are written for bash.
      return `#compdef spark-gateway\nautoload -Uz bashcompinit && bashcompinit\n${bash(commands)}`;
    case 'fish':
      return fish(commands);
  }
}

/** What may stand behind an option. */
function valuesOf({ value, choices }: OptionDescription): string {
  if (choices) return `words ${choices.join(' ')}`;
  return value === 'file' ? 'files' : 'nothing';
}

function bash(commands: readonly CommandDescription[]): string {
  const names = commands.map(({ name }) => name);
  const groups = [...new Set(names.filter((name) => name.includes(' ')).map(firstWord))];
  const perCommand = commands.map((command) => {
    const options = allOptions(command);
    const values = options
      .filter(({ value }) => value !== undefined)
      .map((option) => `${dashed(option).join('|')}) values='${valuesOf(option)}' ;;`);
    return [
      `    '${command.name}')`,
      `      options='${options.flatMap(dashed).join(' ')}'`,
      ...(takesFiles(command) ? ["      operands='files'"] : []),
      ...operandWords(command),
      ...(values.length > 0
        ? ['      case "$previous" in', ...values.map((line) => `        ${line}`), '      esac']
        : []),
      '      ;;',
    ].join('\n');
  });
  return `_spark_gateway() {
  local current="\${COMP_WORDS[COMP_CWORD]}" previous="\${COMP_WORDS[COMP_CWORD-1]}"
  local command='' options='' values='' operands='' word
  for word in "\${COMP_WORDS[@]:1:COMP_CWORD-1}"; do
    case "$command $word" in
      ' '-*) ;;
${groups.map((group) => `      ' ${group}') command='${group}' ;;`).join('\n')}
${names.map((name) => `      ${caseOf(name)}) command='${name}' ;;`).join('\n')}
    esac
  done
  case "$command" in
    '') values='words ${[...new Set(names.map(firstWord))].join(' ')} help' ;;
${groups.map((group) => `    '${group}') values='words ${secondWords(names, group).join(' ')}' ;;`).join('\n')}
${perCommand.join('\n')}
  esac
  COMPREPLY=()
  if [[ -z "$values" ]]; then
    if [[ "$current" == -* ]]; then values="words $options"; else values="$operands"; fi
  fi
  case "$values" in
    'words '*) COMPREPLY=($(compgen -W "\${values#words }" -- "$current")) ;;
    files) COMPREPLY=($(compgen -f -- "$current")); compopt -o filenames 2>/dev/null ;;
  esac
}
complete -F _spark_gateway spark-gateway
`;
}

/** The command so far and the next word, as the script compares them. */
function caseOf(name: string): string {
  const [first = '', second] = name.split(' ');
  return second === undefined ? `' ${first}'` : `'${first} ${second}'`;
}

function secondWords(names: readonly string[], group: string): readonly string[] {
  return names
    .filter((name) => name.startsWith(`${group} `))
    .map((name) => name.slice(group.length + 1));
}

function fish(commands: readonly CommandDescription[]): string {
  const lines = commands.flatMap((command) => {
    const [first = '', second] = command.name.split(' ');
    const begins =
      second === undefined
        ? `complete -c spark-gateway -f -n __fish_use_subcommand -a ${first} -d ${quoted(command.about)}`
        : `complete -c spark-gateway -f -n '__fish_seen_subcommand_from ${first}; and not __fish_seen_subcommand_from ${second}' -a ${second} -d ${quoted(command.about)}`;
    const seen =
      second === undefined
        ? `__fish_seen_subcommand_from ${first}`
        : `__fish_seen_subcommand_from ${first}; and __fish_seen_subcommand_from ${second}`;
    const options = allOptions(command).map(({ name, short, value, about, choices }) =>
      [
        `complete -c spark-gateway -n '${seen}' -l ${name}`,
        ...(short === undefined ? [] : [`-s ${short}`]),
        ...(value === undefined ? [] : [value === 'file' ? '-r -F' : '-x']),
        ...(choices ? [`-a '${choices.join(' ')}'`] : []),
        `-d ${quoted(about)}`,
      ].join(' '),
    );
    const words = command.operandChoices
      ? [`complete -c spark-gateway -f -n '${seen}' -a '${command.operandChoices.join(' ')}'`]
      : [];
    return [begins, ...options, ...words];
  });
  return `${[...new Set(lines)].join('\n')}\n`;
}

function allOptions(command: CommandDescription): readonly OptionDescription[] {
  return [...optionsOf(command), ...helpOptions.filter(({ name }) => name === 'help')];
}

function dashed({ name, short }: OptionDescription): readonly string[] {
  return short === undefined ? [`--${name}`] : [`--${name}`, `-${short}`];
}

function takesFiles({ operands = '' }: CommandDescription): boolean {
  return operands.includes('<file>');
}

function operandWords({ operandChoices }: CommandDescription): readonly string[] {
  return operandChoices ? [`      operands='words ${operandChoices.join(' ')}'`] : [];
}

function firstWord(name: string): string {
  return name.split(' ')[0] ?? '';
}

/** For fish, in single quotes. */
function quoted(text: string): string {
  return `'${text.replaceAll('\\', '\\\\').replaceAll("'", "\\'")}'`;
}
