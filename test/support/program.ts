/** A program that a test runs to its end, or tells to end. */
import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';

export interface ProgramOptions {
  readonly cwd?: string;
  readonly env?: Readonly<Record<string, string | undefined>>;
}

export interface ProgramResult {
  /** undefined when a signal ended it. */
  readonly exitCode: number | undefined;
  /** Standard output and standard error, as they came. */
  readonly output: string;
}

export class Program {
  readonly ended: Promise<ProgramResult>;
  readonly #child: ChildProcess;
  #output = '';
  #waiting: { readonly text: string; readonly found: () => void }[] = [];

  constructor(command: string, args: readonly string[], { cwd, env }: ProgramOptions = {}) {
    this.#child = spawn(command, args, { cwd, env, stdio: ['ignore', 'pipe', 'pipe'] });
    for (const stream of [this.#child.stdout, this.#child.stderr]) {
      stream?.setEncoding('utf8').on('data', (text: string) => this.#heard(text));
    }
    this.ended = once(this.#child, 'close').then(([code]: unknown[]) => ({
      exitCode: typeof code === 'number' ? code : undefined,
      output: this.#output,
    }));
  }

  /** Resolves when it has written this text. Rejects when it ends without. */
  async says(text: string): Promise<void> {
    if (this.#output.includes(text)) return;
    const said = new Promise<void>((found) => {
      this.#waiting.push({ text, found });
    });
    const ended = this.ended.then(({ output }) => {
      if (!output.includes(text)) throw new Error(`It ended without saying ${text}:\n${output}`);
    });
    await Promise.race([said, ended]);
  }

  signal(signal: NodeJS.Signals): void {
    this.#child.kill(signal);
  }

  #heard(text: string): void {
    this.#output += text;
    this.#waiting = this.#waiting.filter(({ text: wanted, found }) => {
      if (!this.#output.includes(wanted)) return true;
      found();
      return false;
    });
  }
}

/** Runs a program to its end. */
export function runProgram(
  command: string,
  args: readonly string[],
  options: ProgramOptions = {},
): Promise<ProgramResult> {
  return new Program(command, args, options).ended;
}
