/** The folder of one local driver: what was asked for, what was started, and its work files. */
import { mkdir, readdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { readTextIfThere, replaceFile } from '../../lib/files/files.js';
import { type ProcessId, findByArgument } from '../../lib/child-processes/proc.js';

export interface LocalRequest {
  readonly resource: string;
  readonly namespace: string;
  readonly variant?: string;
  readonly uid: string;
  readonly address: string;
  readonly port: number;
  /** The driver's own secret. The file is for the owner's eyes only. */
  readonly token: string;
  /** Absent for a driver that a former release has started: it has no fence. */
  readonly fenced?: boolean;
  readonly createdAtMs: number;
}

/** Layout of the state folder of local drivers. */
export class LocalFolders {
  readonly root: string;

  constructor(root: string) {
    this.root = root;
  }

  driver(resource: string): string {
    return join(this.root, 'drivers', resource);
  }

  /** The process's working folder: scratch space, warehouse, artifacts. */
  work(resource: string): string {
    return join(this.driver(resource), 'work');
  }

  log(resource: string): string {
    return join(this.root, 'logs', `${resource}.log`);
  }

  get addresses(): string {
    return join(this.root, 'addresses.json');
  }

  async prepare(): Promise<void> {
    await mkdir(join(this.root, 'drivers'), { recursive: true, mode: 0o700 });
    await mkdir(join(this.root, 'logs'), { recursive: true, mode: 0o700 });
  }

  async writeRequest(request: LocalRequest): Promise<void> {
    await mkdir(this.work(request.resource), { recursive: true, mode: 0o700 });
    await writeJson(join(this.driver(request.resource), 'request.json'), request);
  }

  /** Notes that the request's process was started. */
  async writeProcess(resource: string, id: ProcessId): Promise<void> {
    await writeJson(join(this.driver(resource), 'process.json'), id);
  }

  /** Every request, with the process that was started for it, if one was. */
  async readAll(): Promise<readonly { request: LocalRequest; process: ProcessId | undefined }[]> {
    const found: { request: LocalRequest; process: ProcessId | undefined }[] = [];
    for (const resource of await readdir(join(this.root, 'drivers'))) {
      const request = await readValue(join(this.driver(resource), 'request.json'), isRequest);
      // Without a request nothing was started: what is left of a creation that was cut short.
      if (!request) await this.remove(resource);
      else {
        found.push({
          request,
          process: await readValue(join(this.driver(resource), 'process.json'), isProcessId),
        });
      }
    }
    return found;
  }

  async remove(resource: string): Promise<void> {
    await rm(this.driver(resource), { recursive: true, force: true, maxRetries: 5 });
  }
}

function writeJson(path: string, value: unknown): Promise<void> {
  return replaceFile(path, `${JSON.stringify(value)}\n`);
}

async function readValue<T>(path: string, is: (value: unknown) => value is T) {
  const text = await readTextIfThere(path);
  if (text === undefined) return undefined;
  try {
    const value: unknown = JSON.parse(text);
    return is(value) ? value : undefined;
  } catch (error) {
    if (error instanceof SyntaxError) return undefined;
    throw error;
  }
}

function has(value: unknown, types: Readonly<Record<string, 'string' | 'number'>>): boolean {
  if (typeof value !== 'object' || value === null) return false;
  const entries = new Map<string, unknown>(Object.entries(value));
  return Object.entries(types).every(([key, type]) => typeof entries.get(key) === type);
}

function isRequest(value: unknown): value is LocalRequest {
  return has(value, {
    resource: 'string',
    namespace: 'string',
    uid: 'string',
    address: 'string',
    port: 'number',
    token: 'string',
    createdAtMs: 'number',
  });
}

function isProcessId(value: unknown): value is ProcessId {
  return has(value, { pid: 'number', startTime: 'string' });
}

// The argument by which a local driver's process is recognised after a restart of the gateway. It
// names the state folder, so that two gateways never touch each other's drivers.

const OPTION = '-Dspark-gateway.driver=';

export interface MarkedProcess {
  readonly id: ProcessId;
  readonly namespace: string;
  readonly resource: string;
  readonly uid: string;
}

/** `root` is the state folder's real path. */
export function marker(
  root: string,
  driver: { readonly namespace: string; readonly resource: string; readonly uid: string },
): string {
  return `${OPTION}${root}//${driver.namespace}/${driver.resource}/${driver.uid}`;
}

/** Every live process that was started for this state folder. */
export async function findMarked(root: string): Promise<readonly MarkedProcess[]> {
  const found = await findByArgument(`${OPTION}${root}//`);
  return found.flatMap(({ id, rest }) => {
    const [namespace, resource, uid] = rest.split('/');
    if (namespace === undefined || resource === undefined || uid === undefined) return [];
    return [{ id, namespace, resource, uid }];
  });
}
