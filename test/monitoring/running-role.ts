/** One role of the gateway in a process of its own, as a pod or a unit runs it. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';

const main = fileURLToPath(new URL('../../src/main.js', import.meta.url));

export interface RunningRole {
  readonly logs: () => string;
  stop(): Promise<void>;
}

/**
 * Resolves when it says that it runs.
 * @param config the settings file
 */
export async function startRole(
  role: 'control-plane' | 'authz',
  config: string,
): Promise<RunningRole> {
  const child = spawn(process.execPath, [main, role, '--config', config], {
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  const exited = once(child, 'exit');
  const lines: string[] = [];
  const logs = () => lines.join('\n');
  createInterface(child.stderr).on('line', (line) => lines.push(line));
  const said = new Promise<void>((resolve) => {
    createInterface(child.stdout).on('line', (line) => {
      lines.push(line);
      if (line.includes(`${role.replace('-', ' ')} runs`)) resolve();
    });
  });
  const ended = exited.then(() => {
    throw new Error(`${role} did not start:\n${logs()}`);
  });
  // Its end after the start is no failure.
  ended.catch(() => undefined);
  await Promise.race([said, ended]);
  return {
    logs,
    async stop() {
      child.kill('SIGTERM');
      await exited;
    },
  };
}
