/** A real kube-apiserver and etcd of one's own, on free loopback ports. */
import { generateKeyPairSync, randomUUID } from 'node:crypto';
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { get } from 'node:https';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { KubeConfig } from '@kubernetes/client-node';
import { KubernetesApi } from '../../src/lib/kubernetes/kubernetes-api.js';
import { hasStatus } from '../../src/lib/kubernetes/http.js';
import { startTethered, type TetheredProcess } from '../../src/lib/child-processes/tether.js';

const ADMIN_TOKEN = randomUUID();

/** Runs "$0" "$@". Asked to end, kube-apiserver would wait for an etcd that may be gone already. */
const ENDS_AT_ONCE = `"$0" "$@" & trap 'kill -9 $!' TERM; wait $!`;

export class KubeApiServer {
  readonly #dir: string;
  readonly #binaries: string;
  #etcdPorts: readonly [number, number] = [0, 0];
  #port = 0;
  #etcd: TetheredProcess | undefined;
  #apiServer: TetheredProcess | undefined;
  readonly #apis: KubernetesApi[] = [];

  private constructor(binaries: string) {
    this.#binaries = binaries;
    this.#dir = mkdtempSync(join(tmpdir(), 'kube-'));
  }

  /** Starts etcd and kube-apiserver and waits until they are ready. */
  static async start(): Promise<KubeApiServer> {
    const binaries = process.env['KUBEBUILDER_ASSETS'] ?? join(process.cwd(), '.local/kube/bin');
    if (!existsSync(join(binaries, 'kube-apiserver'))) {
      throw new Error(`There is no kube-apiserver in ${binaries}: run "npm run test:kube".`);
    }
    const server = new KubeApiServer(binaries);
    try {
      await server.#prepare();
      await server.startEtcd();
      await server.startApiServer();
    } catch (error) {
      await server.stop();
      throw error;
    }
    return server;
  }

  /** The administrator's access: everything is allowed. */
  adminConfig(): KubeConfig {
    return this.#config(ADMIN_TOKEN);
  }

  /** A client with the administrator's rights; closed by `stop`. */
  admin(onRequest?: (method: string, path: string, status: number) => void): KubernetesApi {
    return this.#client(this.adminConfig(), onRequest);
  }

  /** Access as a service account, which is made if need be: it may do what RBAC grants it. */
  async serviceAccountConfig(namespace: string, name: string): Promise<KubeConfig> {
    const admin = this.admin();
    const accounts = `/api/v1/namespaces/${namespace}/serviceaccounts`;
    await created(admin, accounts, { metadata: { name } });
    const answer = await admin.request<{ status: { token: string } }>({
      method: 'POST',
      path: `${accounts}/${name}/token`,
      body: { apiVersion: 'authentication.k8s.io/v1', kind: 'TokenRequest', spec: {} },
    });
    return this.#config(answer.status.token);
  }

  async serviceAccount(
    namespace: string,
    name: string,
    onRequest?: (method: string, path: string, status: number) => void,
  ): Promise<KubernetesApi> {
    return this.#client(await this.serviceAccountConfig(namespace, name), onRequest);
  }

  /** Makes a namespace with the default service account that pods need. */
  async createNamespace(name: string, labels: Record<string, string> = {}): Promise<void> {
    const admin = this.admin();
    await created(admin, '/api/v1/namespaces', { metadata: { name, labels } });
    await created(admin, `/api/v1/namespaces/${name}/serviceaccounts`, {
      metadata: { name: 'default' },
    });
  }

  /** Makes one object of any kind, as `kubectl apply` would. */
  async apply(object: ApplicableObject): Promise<void> {
    const admin = this.admin();
    const path = await this.collectionPath(object);
    await admin.request({
      method: 'PATCH',
      path: `${path}/${object.metadata.name}`,
      contentType: 'application/apply-patch+yaml',
      query: { fieldManager: 'test', force: true },
      body: object,
    });
    if (object.kind === 'CustomResourceDefinition') await this.#established(object.metadata.name);
  }

  /** The path of the collection that the object belongs to, from the API server's discovery. */
  async collectionPath(object: ApplicableObject): Promise<string> {
    const version = object.apiVersion;
    const base = version.includes('/') ? `/apis/${version}` : `/api/${version}`;
    const { resources } = await this.admin().request<{
      resources: { name: string; kind: string; namespaced: boolean }[];
    }>({ path: base });
    const resource = resources.find(
      ({ kind, name }) => kind === object.kind && !name.includes('/'),
    );
    if (!resource) throw new Error(`The API server knows no ${object.kind} in ${version}.`);
    const namespace = resource.namespaced
      ? `/namespaces/${object.metadata.namespace ?? 'default'}`
      : '';
    return `${base}${namespace}/${resource.name}`;
  }

  async startEtcd(): Promise<void> {
    const [client, peer] = this.#etcdPorts;
    this.#etcd = this.#run('etcd', [
      `--data-dir=${join(this.#dir, 'etcd')}`,
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
      `--etcd-servers=http://127.0.0.1:${this.#etcdPorts[0]}`,
      '--bind-address=127.0.0.1',
      '--advertise-address=127.0.0.1',
      '--endpoint-reconciler-type=none',
      `--secure-port=${this.#port}`,
      `--cert-dir=${join(this.#dir, 'certs')}`,
      `--token-auth-file=${join(this.#dir, 'tokens.csv')}`,
      '--authorization-mode=RBAC',
      '--service-cluster-ip-range=10.0.0.0/24',
      '--service-account-issuer=https://kubernetes.default.svc',
      `--service-account-key-file=${join(this.#dir, 'service-account.pem')}`,
      `--service-account-signing-key-file=${join(this.#dir, 'service-account.pem')}`,
      '--allow-privileged=true',
      '--event-ttl=10m',
    ]);
    await this.#answers(`https://127.0.0.1:${this.#port}/readyz`);
  }

  /** Kills the API server and leaves it down; its port is free then. */
  async killApiServer(): Promise<void> {
    this.#apiServer?.kill();
    await this.#apiServer?.ended;
    // A process that was killed holds its sockets for as long as the kernel takes to end it.
    while (!(await isFree(this.#port))) await pause(20);
  }

  async restartApiServer(): Promise<void> {
    await this.killApiServer();
    await this.startApiServer();
  }

  /** Stops the API server's process where it stands: connections stay open and nothing answers. */
  async freezeApiServer(): Promise<void> {
    process.kill(await this.#apiServerPid(), 'SIGSTOP');
  }

  async thawApiServer(): Promise<void> {
    process.kill(await this.#apiServerPid(), 'SIGCONT');
  }

  /** Drops etcd's history, so that an old resource version cannot be watched from any more. */
  async compact(): Promise<void> {
    const base = `http://127.0.0.1:${this.#etcdPorts[0]}/v3/kv`;
    const range = await post(`${base}/range`, { key: Buffer.from('x').toString('base64') });
    await post(`${base}/compaction`, { revision: range.header.revision, physical: true });
  }

  async stop(): Promise<void> {
    for (const api of this.#apis) api.close();
    for (const child of [this.#apiServer, this.#etcd]) {
      child?.kill();
      await child?.ended;
    }
    rmSync(this.#dir, { recursive: true, force: true });
  }

  async #apiServerPid(): Promise<number> {
    const shell = await this.#apiServer?.pid;
    return Number(readFileSync(`/proc/${shell}/task/${shell}/children`, 'utf8').trim());
  }

  #client(
    config: KubeConfig,
    onRequest?: (method: string, path: string, status: number) => void,
  ): KubernetesApi {
    const api = new KubernetesApi(config, onRequest ? { onRequest } : {});
    this.#apis.push(api);
    return api;
  }

  #config(token: string): KubeConfig {
    const config = new KubeConfig();
    config.loadFromClusterAndUser(
      {
        name: 'test',
        server: `https://127.0.0.1:${this.#port}`,
        caData: readFileSync(join(this.#dir, 'certs/apiserver.crt')).toString('base64'),
        skipTLSVerify: false,
      },
      { name: 'test', token },
    );
    return config;
  }

  async #prepare(): Promise<void> {
    mkdirSync(join(this.#dir, 'certs'));
    const [first, second, third] = await freePorts(3);
    this.#etcdPorts = [first ?? 0, second ?? 0];
    this.#port = third ?? 0;
    const { privateKey } = generateKeyPairSync('rsa', { modulusLength: 2048 });
    writeFileSync(
      join(this.#dir, 'service-account.pem'),
      privateKey.export({ type: 'pkcs8', format: 'pem' }),
      { mode: 0o600 },
    );
    writeFileSync(join(this.#dir, 'tokens.csv'), `${ADMIN_TOKEN},admin,admin,"system:masters"\n`, {
      mode: 0o600,
    });
  }

  #run(program: string, args: readonly string[]): TetheredProcess {
    return startTethered({
      command: '/bin/sh',
      args: ['-c', ENDS_AT_ONCE, join(this.#binaries, program), ...args],
      env: { PATH: process.env['PATH'], HOME: this.#dir },
      logFile: join(this.#dir, `${program}.log`),
    });
  }

  /** Asks again and again: neither program says when it is ready. */
  async #answers(url: string): Promise<void> {
    const child = url.startsWith('https') ? this.#apiServer : this.#etcd;
    let ended: number | undefined;
    void child?.ended.then((status) => {
      ended = status;
    });
    while (!(await isOk(url))) {
      if (ended !== undefined) {
        const log = readFileSync(
          join(this.#dir, url.startsWith('https') ? 'kube-apiserver.log' : 'etcd.log'),
          'utf8',
        );
        throw new Error(`It ended with status ${ended}:\n${log.slice(-2000)}`);
      }
      await pause(50);
    }
  }

  /** Established is said a moment before the storage is ready. */
  async #isServed({ group, names, versions }: CrdSpec): Promise<boolean> {
    try {
      const path = `/apis/${group}/${versions[0]?.name}/${names.plural}`;
      await this.admin().request({ path, query: { limit: 1 } });
      return true;
    } catch (error) {
      if (hasStatus(error, 404) || hasStatus(error, 429)) return false;
      throw error;
    }
  }

  async #established(name: string): Promise<void> {
    const path = `/apis/apiextensions.k8s.io/v1/customresourcedefinitions/${name}`;
    for (;;) {
      const { spec, status } = await this.admin().request<{
        spec: CrdSpec;
        status?: { conditions?: { type: string; status: string; message?: string }[] };
      }>({ path });
      const conditions = status?.conditions ?? [];
      const refused = conditions.find(
        ({ type, status: state }) =>
          (type === 'NonStructuralSchema' && state === 'True') ||
          (type === 'NamesAccepted' && state === 'False'),
      );
      if (refused) throw new Error(`${name} was refused: ${refused.message}`);
      const established = conditions.some(
        ({ type, status: state }) => type === 'Established' && state === 'True',
      );
      if (established && (await this.#isServed(spec))) return;
      await pause(20);
    }
  }
}

interface CrdSpec {
  readonly group: string;
  readonly names: { readonly plural: string };
  readonly versions: readonly { readonly name: string }[];
}

export interface ApplicableObject {
  readonly apiVersion: string;
  readonly kind: string;
  readonly metadata: { readonly name: string; readonly namespace?: string };
  readonly [field: string]: unknown;
}

async function created(api: KubernetesApi, path: string, body: unknown): Promise<void> {
  try {
    await api.request({ method: 'POST', path, body });
  } catch (error) {
    if (!hasStatus(error, 409)) throw error;
  }
}

async function isOk(url: string): Promise<boolean> {
  if (url.startsWith('http:')) {
    return fetch(url).then(
      (response) => response.ok,
      () => false,
    );
  }
  return new Promise((resolve) => {
    const headers = { authorization: `Bearer ${ADMIN_TOKEN}` };
    get(url, { rejectUnauthorized: false, agent: false, headers }, (response) => {
      response.resume();
      resolve(response.statusCode === 200);
    }).on('error', () => resolve(false));
  });
}

async function post(url: string, body: unknown): Promise<{ header: { revision: string } }> {
  const response = await fetch(url, { method: 'POST', body: JSON.stringify(body) });
  if (!response.ok) throw new Error(`${url}: ${await response.text()}`);
  return (await response.json()) as { header: { revision: string } };
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
