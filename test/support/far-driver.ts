/** A driver on a network of its own, as on another node, which can vanish without a word. */
import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import type { RoutableDriver } from '../../src/model/driver.js';
import { answerUid, SparkDriver } from './spark-driver.js';

/** Why this machine cannot have one; undefined: it can. */
export function whyNoFarDriver(): string | undefined {
  if (process.platform !== 'linux') return 'network namespaces are for Linux';
  if (process.getuid?.() !== 0) return 'network namespaces need root';
  try {
    execFileSync('ip', ['-V']);
    return undefined;
  } catch {
    return 'there is no program "ip" (Debian: apt-get install iproute2)';
  }
}

const NEAR = '10.213.77.1';
const FAR = '10.213.77.2';

const ip = (...args: string[]): void => void execFileSync('ip', args, { stdio: 'inherit' });

export class FarDriver {
  readonly #process: ChildProcess;
  readonly #near: string;
  readonly routable: RoutableDriver;

  private constructor(child: ChildProcess, near: string, port: number) {
    this.#process = child;
    this.#near = near;
    this.routable = {
      uid: 'far-driver',
      namespace: 'sjns-search-test',
      address: FAR,
      port,
      draining: false,
    };
  }

  /** Needs root. ExecutePlan is not answered, ReattachExecute by one message and no end, all else by the uid. */
  static async start(): Promise<FarDriver> {
    const child = spawn('unshare', ['--net', process.execPath, fileURLToPath(import.meta.url)], {
      stdio: ['pipe', 'pipe', 'inherit'],
    });
    const lines = createInterface(child.stdout);
    const next = async () => String((await once(lines, 'line'))[0]);
    // It is in its own network once it says something.
    await next();
    const far = ['nsenter', '--net', '--target', String(child.pid), 'ip'] as const;
    const inFar = (...args: string[]): void =>
      void execFileSync(far[0], [...far.slice(1), ...args], { stdio: 'inherit' });
    const near = `far${child.pid}`;
    ip('link', 'add', near, 'type', 'veth', 'peer', 'name', 'eth0', 'netns', String(child.pid));
    ip('addr', 'add', `${NEAR}/30`, 'dev', near);
    ip('link', 'set', near, 'up');
    inFar('link', 'set', 'lo', 'up');
    inFar('addr', 'add', `${FAR}/30`, 'dev', 'eth0');
    inFar('link', 'set', 'eth0', 'up');
    child.stdin.write('listen\n');
    return new FarDriver(child, near, Number(await next()));
  }

  /** What is sent to it is lost from now on, and nobody says so. */
  vanish(): void {
    const pid = String(this.#process.pid);
    execFileSync('nsenter', ['--net', '--target', pid, 'ip', 'link', 'set', 'eth0', 'down']);
  }

  async stop(): Promise<void> {
    ip('link', 'del', this.#near);
    const exited = once(this.#process, 'exit');
    this.#process.kill('SIGKILL');
    await exited;
  }
}

/** What runs there. */
async function main(): Promise<void> {
  console.log('here');
  await once(createInterface(process.stdin), 'line');
  const driver = await SparkDriver.start('far-driver', FAR, (call, self) => {
    if (call.method === 'ReattachExecute') call.send('before');
    else if (call.method !== 'ExecutePlan') answerUid(call, self);
  });
  console.log(driver.address.port);
}

if (process.argv[1] === fileURLToPath(import.meta.url)) await main();
