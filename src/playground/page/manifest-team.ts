/** The team that a manifest names, found in its text whether it is valid or not. */

export interface TeamInText {
  readonly team: string;
  /** Where its value stands, offsets; the same where there is none yet. */
  readonly from: number;
  readonly to: number;
}

/** undefined: there is no `team:` below `metadata:`. */
export function teamIn(text: string): TeamInText | undefined {
  const metadata = /^metadata:[ \t]*(#.*)?$/m.exec(text);
  if (!metadata) return undefined;
  const start = metadata.index + metadata[0].length;
  const below = /^(\r?\n([ \t]+.*|[ \t]*(#.*)?))*/.exec(text.slice(start))?.[0] ?? '';
  const found = /(\n[ \t]+team:[ \t]*)("[^"\n]*"|'[^'\n]*'|[^\s#'"][^\s#]*)?/.exec(below);
  if (!found) return undefined;
  const [, before = '', value = ''] = found;
  const from = start + found.index + before.length;
  return { team: value.replaceAll(/^["']|["']$/g, ''), from, to: from + value.length };
}

/** The text with another team; as it is where it names none, and for an empty one. */
export function withTeam(text: string, team: string): string {
  const found = teamIn(text);
  if (!found || team === '' || found.team === team) return text;
  return text.slice(0, found.from) + teamAsYaml(text, found, team) + text.slice(found.to);
}

/** What is to stand between `from` and `to`. */
export function teamAsYaml(text: string, { from }: TeamInText, team: string): string {
  const plain =
    /^[A-Za-z][\w.-]*$/.test(team) && !/^(true|false|null|yes|no|on|off|y|n)$/i.test(team);
  return `${text[from - 1] === ':' ? ' ' : ''}${plain ? team : JSON.stringify(team)}`;
}
