/** A real Kubernetes API server: one's own, or the one that test files share in turn. */
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { KubeConfig } from '@kubernetes/client-node';
import { hasStatus } from '../../src/lib/kubernetes/http.js';
import { type ApiRequest, KubernetesApi } from '../../src/lib/kubernetes/kubernetes-api.js';
import { type Contents, KubeEtcd } from './kube-etcd.js';
import { type KubePlace, KubeProcesses } from './kube-processes.js';

/** The environment variable by which test files find the one that they share. */
const SHARED = 'TEST_KUBE_API_SERVER';

export class KubeApiServer {
  readonly #place: KubePlace;
  /** Undefined: they are another process's. */
  readonly #processes: KubeProcesses | undefined;
  readonly #apis: KubernetesApi[] = [];

  private constructor(place: KubePlace, processes?: KubeProcesses) {
    this.#place = place;
    this.#processes = processes;
  }

  /**
   * The one that `npm run test:kube` has started for all files that do not break it, as it was when it
   * began; one's own when a file runs alone. One file at a time may use it.
   */
  static async shared(): Promise<KubeApiServer> {
    const place = process.env[SHARED];
    if (place === undefined) return KubeApiServer.start();
    const server = new KubeApiServer(JSON.parse(place) as KubePlace);
    await server.#reset();
    return server;
  }

  /** Starts etcd and kube-apiserver and waits until they are ready. Nobody else uses them. */
  static async start(): Promise<KubeApiServer> {
    const processes = await KubeProcesses.start();
    return new KubeApiServer(processes.place, processes);
  }

  /** Lets test files share it from now on, as it is now. Returns what they need in their environment. */
  async share(): Promise<Readonly<Record<string, string>>> {
    writeFileSync(this.#contentsFile, JSON.stringify(await this.#store.contents()));
    return { [SHARED]: JSON.stringify(this.#place) };
  }

  /** The administrator's access: everything is allowed. */
  adminConfig(): KubeConfig {
    return this.#config(this.#place.adminToken);
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

  /** Kills the API server and leaves it down; its port is free then. */
  killApiServer(): Promise<void> {
    return this.#own.killApiServer();
  }

  startApiServer(): Promise<void> {
    return this.#own.startApiServer();
  }

  async restartApiServer(): Promise<void> {
    await this.killApiServer();
    await this.startApiServer();
  }

  /** Stops the API server's process where it stands: connections stay open and nothing answers. */
  freezeApiServer(): Promise<void> {
    return this.#own.signalApiServer('SIGSTOP');
  }

  thawApiServer(): Promise<void> {
    return this.#own.signalApiServer('SIGCONT');
  }

  /** Drops etcd's history, so that an old resource version cannot be watched from any more. */
  async compact(): Promise<void> {
    await this.#store.compact();
  }

  /** Ends what is one's own. What is shared goes on. */
  async stop(): Promise<void> {
    for (const api of this.#apis) api.close();
    await this.#processes?.stop();
  }

  get #own(): KubeProcesses {
    if (this.#processes) return this.#processes;
    throw new Error('Others use it: break one of your own, by KubeApiServer.start().');
  }

  get #store(): KubeEtcd {
    return new KubeEtcd(this.#place.etcdPort);
  }

  get #contentsFile(): string {
    return join(this.#place.dir, 'contents.json');
  }

  /** Has it as it was when it was first shared, whatever other files have left behind. */
  async #reset(): Promise<void> {
    const contents = JSON.parse(readFileSync(this.#contentsFile, 'utf8')) as Contents;
    const gone = await this.#store.restore(contents);
    // It hears of it a moment later.
    const admin = this.admin();
    for (const key of gone) {
      const [, definition] = /customresourcedefinitions\/[^.]+\.(.+)$/.exec(key) ?? [];
      const [, namespace] = /^\/registry\/namespaces\/(.+)$/.exec(key) ?? [];
      if (definition !== undefined) await isGone(admin, { path: `/apis/${definition}` });
      if (namespace !== undefined) {
        const path = `/api/v1/namespaces/${namespace}`;
        await isGone(admin, { path, query: { resourceVersion: '0' } });
      }
    }
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
        server: `https://127.0.0.1:${this.#place.port}`,
        caData: readFileSync(join(this.#place.dir, 'certs/apiserver.crt')).toString('base64'),
        skipTLSVerify: false,
      },
      { name: 'test', token },
    );
    return config;
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

async function isGone(api: KubernetesApi, what: ApiRequest): Promise<void> {
  for (;;) {
    try {
      await api.request(what);
    } catch (error) {
      if (hasStatus(error, 404)) return;
      throw error;
    }
    await pause(20);
  }
}
