/** The side of a server that the benchmark started (process-lines.ts): one JSON line of answer for each line of input. */
import { createInterface } from 'node:readline';

/**
 * Says on which port it listens, and does what it is told. Resolves at the end of the input.
 * @param change of one resource
 */
export async function serveCommands(port: number, change: () => void): Promise<void> {
  reply({ port });
  for await (const command of createInterface({ input: process.stdin })) {
    if (command === 'usage') {
      const { user, system } = process.cpuUsage();
      reply({ cpuMicros: user + system, rssBytes: process.memoryUsage.rss() });
    } else if (command === 'memory') {
      globalThis.gc?.();
      const { heapUsed, external } = process.memoryUsage();
      reply({ keptBytes: heapUsed + external });
    } else if (command === 'change') {
      change();
      reply({});
    }
  }
}

function reply(value: Record<string, number>): void {
  process.stdout.write(`${JSON.stringify(value)}\n`);
}
