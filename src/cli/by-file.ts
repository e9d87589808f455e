/** `policy explain --file`: the options of a command that asks a gateway, where it asks none. */

/** What only a gateway that runs makes sense of. */
const ONLY_ONLINE = ['server', 'token-file', 'as', 'ca-file'];

/** What is wrong with these options, one line each. */
export function byFileProblems(options: ReadonlyMap<string, string>): readonly string[] {
  if (!options.has('file')) return [];
  const asksGateway = ONLY_ONLINE.filter((name) => options.has(name));
  return [
    ...asksGateway.map((name) => `--${name} is for a gateway that runs: leave it out with --file`),
    ...(options.has('user') || options.has('service')
      ? []
      : ['--file needs --user or --service: without a gateway nobody knows who you are']),
  ];
}
