/** A child process that answers each line of input with one line of JSON. */
import { type ChildProcess, spawn } from 'node:child_process';
import { createInterface, type Interface } from 'node:readline';

export class LineProcess {
  readonly #child: ChildProcess;
  readonly #lines: AsyncIterator<string>;

  private constructor(child: ChildProcess, lines: Interface) {
    this.#child = child;
    this.#lines = lines[Symbol.asyncIterator]();
  }

  /** Resolves with the first line, once the process is ready. */
  static async start(
    command: string,
    args: readonly string[],
  ): Promise<{ process: LineProcess; ready: Record<string, number> }> {
    const child = spawn(command, args, { stdio: ['pipe', 'pipe', 'inherit'] });
    const process = new LineProcess(child, createInterface({ input: child.stdout }));
    return { process, ready: await process.#answer() };
  }

  ask(command: string): Promise<Record<string, number>> {
    this.#child.stdin?.write(`${command}\n`);
    return this.#answer();
  }

  async stop(): Promise<void> {
    if (this.#child.exitCode !== null) return;
    const ended = new Promise((resolve) => {
      this.#child.once('exit', resolve);
    });
    this.#child.kill('SIGKILL');
    await ended;
  }

  async #answer(): Promise<Record<string, number>> {
    const { value, done } = await this.#lines.next();
    if (done) throw new Error(`${this.#child.spawnfile} ended; see what it wrote above`);
    const answer: unknown = JSON.parse(value);
    if (!isNumbers(answer)) throw new Error(`unexpected line: ${value}`);
    return answer;
  }
}

function isNumbers(value: unknown): value is Record<string, number> {
  return (
    typeof value === 'object' &&
    value !== null &&
    Object.values(value).every((each) => typeof each === 'number')
  );
}
