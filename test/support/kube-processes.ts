/** The processes of a Kubernetes API server, etcd and kube-apiserver, on free loopback ports. */
import { generateKeyPairSync, randomUUID } from 'node:crypto';
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { get } from 'node:https';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { startTethered, type TetheredProcess } from '../../src/lib/child-processes/tether.js';

/** What it takes to reach one. */
export interface KubePlace {
  /** With its certificates, keys, logs and data. */
  readonly dir: string;
  readonly etcdPort: number;
  readonly etcdPeerPort: number;
  readonly port: number;
  /** Allows everything. */
  readonly adminToken: string;
}

/** Runs "$0" "$@". Asked to end, kube-apiserver would wait for an etcd that may be gone already. */
const ENDS_AT_ONCE = `"$0" "$@" & trap 'kill -9 $!' TERM; wait $!`;

export class KubeProcesses {
  readonly place: KubePlace;
  readonly #binaries: string;
  #etcd: TetheredProcess | undefined;
  #apiServer: TetheredProcess | undefined;

  private constructor(binaries: string, place: KubePlace) {
    this.#binaries = binaries;
    this.place = place;
  }

  /** Starts both and waits until they are ready. */
  static async start(): Promise<KubeProcesses> {
    const binaries = process.env['KUBEBUILDER_ASSETS'] ?? join(process.cwd(), '.local/kube/bin');
    if (!existsSync(join(binaries, 'kube-apiserver'))) {
      throw new Error(`There is no kube-apiserver in ${binaries}: run "npm run test:kube".`);
    }
    const processes = new KubeProcesses(binaries, await newPlace());
    try {
      await processes.startEtcd();
      await processes.startApiServer();
    } catch (error) {
      await processes.stop();
      throw error;
    }
    return processes;
  }

  async startEtcd(): Promise<void> {
    const { etcdPort: client, etcdPeerPort: peer } = this.place;
    this.#etcd = this.#run('etcd', [
      `--data-dir=${join(this.place.dir, 'etcd')}`,
      `--listen-client-urls=http://127.0.0.1:${client}`,
      `--advertise-client-urls=http://127.0.0.1:${client}`,
      `--listen-peer-urls=http://127.0.0.1:${peer}`,
      `--initial-advertise-peer-urls=http://127.0.0.1:${peer}`,
      `--initial-cluster=default=http://127.0.0.1:${peer}`,
      '--unsafe-no-fsync',
      '--log-level=warn',
    ]);
    await this.#answers(`http://127.0.0.1:${client}/health`);
  }

  async startApiServer(): Promise<void> {
    this.#apiServer = this.#run('kube-apiserver', [
      `--etcd-servers=http://127.0.0.1:${this.place.etcdPort}`,
      '--bind-address=127.0.0.1',
      '--advertise-address=127.0.0.1',
      '--endpoint-reconciler-type=none',
      `--secure-port=${this.place.port}`,
      `--cert-dir=${join(this.place.dir, 'certs')}`,
      `--token-auth-file=${join(this.place.dir, 'tokens.csv')}`,
      '--authorization-mode=RBAC',
      '--service-cluster-ip-range=10.0.0.0/24',
      '--service-account-issuer=https://kubernetes.default.svc',
      `--service-account-key-file=${join(this.place.dir, 'service-account.pem')}`,
      `--service-account-signing-key-file=${join(this.place.dir, 'service-account.pem')}`,
      '--allow-privileged=true',
      '--event-ttl=10m',
    ]);
    await this.#answers(`https://127.0.0.1:${this.place.port}/readyz`);
  }

  /** Kills the API server and leaves it down; its port is free then. */
  async killApiServer(): Promise<void> {
    this.#apiServer?.kill();
    await this.#apiServer?.ended;
    // A process that was killed holds its sockets for as long as the kernel takes to end it.
    while (!(await isFree(this.place.port))) await pause(20);
  }

  async signalApiServer(signal: NodeJS.Signals): Promise<void> {
    const shell = await this.#apiServer?.pid;
    const children = readFileSync(`/proc/${shell}/task/${shell}/children`, 'utf8');
    process.kill(Number(children.trim()), signal);
  }

  /** Ends both, and removes what they stored. */
  async stop(): Promise<void> {
    for (const child of [this.#apiServer, this.#etcd]) {
      child?.kill();
      await child?.ended;
    }
    rmSync(this.place.dir, { recursive: true, force: true });
  }

  #run(program: string, args: readonly string[]): TetheredProcess {
    return startTethered({
      command: '/bin/sh',
      args: ['-c', ENDS_AT_ONCE, join(this.#binaries, program), ...args],
      env: { PATH: process.env['PATH'], HOME: this.place.dir },
      logFile: join(this.place.dir, `${program}.log`),
    });
  }

  /** Asks again and again: neither program says when it is ready. */
  async #answers(url: string): Promise<void> {
    const child = url.startsWith('https') ? this.#apiServer : this.#etcd;
    let ended: number | undefined;
    void child?.ended.then((status) => {
      ended = status;
    });
    while (!(await isOk(url, this.place.adminToken))) {
      if (ended !== undefined) {
        const log = readFileSync(
          join(this.place.dir, url.startsWith('https') ? 'kube-apiserver.log' : 'etcd.log'),
          'utf8',
        );
        throw new Error(`It ended with status ${ended}:\n${log.slice(-2000)}`);
      }
      await pause(50);
    }
  }
}

async function newPlace(): Promise<KubePlace> {
  const dir = mkdtempSync(join(tmpdir(), 'kube-'));
  mkdirSync(join(dir, 'certs'));
  const adminToken = randomUUID();
  const { privateKey } = generateKeyPairSync('rsa', { modulusLength: 2048 });
  const secret = { mode: 0o600 };
  const pem = privateKey.export({ type: 'pkcs8', format: 'pem' });
  writeFileSync(join(dir, 'service-account.pem'), pem, secret);
  const tokens = `${adminToken},admin,admin,"system:masters"\n`;
  writeFileSync(join(dir, 'tokens.csv'), tokens, secret);
  const [etcdPort = 0, etcdPeerPort = 0, port = 0] = await freePorts(3);
  return { dir, etcdPort, etcdPeerPort, port, adminToken };
}

async function isOk(url: string, token: string): Promise<boolean> {
  if (url.startsWith('http:')) {
    return fetch(url).then(
      (response) => response.ok,
      () => false,
    );
  }
  return new Promise((resolve) => {
    const headers = { authorization: `Bearer ${token}` };
    get(url, { rejectUnauthorized: false, agent: false, headers }, (response) => {
      response.resume();
      resolve(response.statusCode === 200);
    }).on('error', () => resolve(false));
  });
}

async function isFree(port: number): Promise<boolean> {
  const server = createServer();
  const free = await new Promise<boolean>((resolve) => {
    server.once('error', () => resolve(false));
    server.listen(port, '127.0.0.1', () => resolve(true));
  });
  if (free) await new Promise((resolve) => server.close(resolve));
  return free;
}

async function freePorts(count: number): Promise<number[]> {
  const servers = await Promise.all(
    Array.from({ length: count }, async () => {
      const server = createServer();
      await new Promise<void>((resolve) => {
        server.listen(0, '127.0.0.1', resolve);
      });
      return server;
    }),
  );
  const ports = servers.map((server) => {
    const address = server.address();
    return typeof address === 'object' && address ? address.port : 0;
  });
  await Promise.all(servers.map((server) => new Promise((resolve) => server.close(resolve))));
  return ports;
}
