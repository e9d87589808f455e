/** The processes of a gateway (Linux: /proc). */
import { spawnSync } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';
import { availableParallelism } from 'node:os';

export interface Server {
  readonly name: string;
  readonly pid: number;
}

const roles: Readonly<Record<string, string>> = {
  'control-plane': 'control plane',
  authz: 'authz',
};

/** @param folder of the gateway's settings, which its processes name on their command lines */
export function serversOf(folder: string): readonly Server[] {
  const found: Server[] = [];
  for (const entry of readdirSync('/proc')) {
    const pid = Number(entry);
    if (!Number.isInteger(pid)) continue;
    const command = commandOf(pid);
    if (!command.some((argument) => argument.startsWith(folder))) continue;
    if (command[0]?.endsWith('envoy')) found.push({ name: 'Envoy', pid });
    // As `node … main.js <role>`; what watches over a process is a shell.
    if (command[0] !== process.execPath) continue;
    const main = command.findIndex((argument) => argument.endsWith('/main.js'));
    const role = command.slice(main + 1).find((argument) => argument in roles);
    if (role !== undefined) found.push({ name: roles[role] ?? role, pid });
  }
  return found;
}

function commandOf(pid: number): readonly string[] {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, 'utf8').split('\0');
  } catch {
    return [];
  }
}

/** The first ones on a core of their own, where there are two and the system can pin. */
export function keepApart(servers: readonly number[], others: readonly number[]): void {
  if (availableParallelism() < 2) return;
  for (const [core, pids] of [servers, others].entries()) {
    for (const pid of pids) spawnSync('taskset', ['-a', '-p', '-c', String(core), String(pid)]);
  }
}
