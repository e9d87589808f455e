/** What a person at the terminal is told. */

// A terminal or pipe that has gone must not keep a process from ending what it has started.
process.stdout.on('error', () => undefined);

export function say(text: string): void {
  process.stdout.write(`${text}\n`);
}
