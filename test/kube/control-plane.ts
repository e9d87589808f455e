/** A replica of the control plane as its pod runs it: a process of its own, on a loopback address of its own. */
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { stringify } from 'yaml';
import type {
  DriverView,
  PolicyView,
  PoolView,
  ProblemView,
  SessionView,
  SidecarView,
  StatusView,
} from '../../src/model/admin-api.js';
import type { PolicyDiffAnswer } from '../../src/model/policy-diff.js';
import type { TlsFiles } from '../../src/lib/grpc/tls.js';
import type { KubeApiServer } from '../support/kube-api-server.js';
import { RoleProcess } from '../support/role-process.js';
import { TokenIssuer } from '../support/token-issuer.js';
import { until } from './until.js';

const PATIENCE_MS = 120_000;

/** What its drivers are made from. */
export const TEMPLATES = {
  apiVersion: 'spark-gateway/v1alpha1',
  kind: 'DriverTemplates',
  templates: [
    {
      kind: 'SparkConnect',
      spark_version: '4.1.3',
      image: 'example.test/spark:4.1.3',
      driver: { cores: '1', memory: '1g' },
      executor: { cores: '1', memory: '1g' },
    },
  ],
};

export interface ControlPlaneOptions {
  readonly server: KubeApiServer;
  /** Its loopback address. */
  readonly host: string;
  /** The gateway's namespace. */
  readonly namespace: string;
  /** The only namespace of drivers, with a pool that is kept warm. */
  readonly drivers: string;
  readonly pool: { readonly size: number; readonly maximum: number };
  readonly leaseMs: number;
  /** Certificates between replicas; without them nothing is passed on that operators ask. */
  readonly tls?: TlsFiles & { readonly serverName: string };
  /** How long a sidecar that is cut off may use what it remembers; a setting. */
  readonly cacheTtl?: string;
  /** What is different from the usual, by file. */
  readonly files?: {
    /** Of all that it may talk to. */
    readonly kubeconfig?: string;
    readonly templates?: object;
    readonly policy?: object;
    /** Settings under `drivers.kubernetes`. */
    readonly kubernetes?: object;
    readonly settings?: object;
  };
}

export class ControlPlane {
  readonly host: string;
  readonly #folder: string;
  readonly #options: ControlPlaneOptions;
  /** Of operators. */
  readonly #issuer: TokenIssuer;
  readonly #process: RoleProcess;

  private constructor(options: ControlPlaneOptions, issuer: TokenIssuer) {
    this.#options = options;
    this.#issuer = issuer;
    this.host = options.host;
    this.#folder = mkdtempSync(join(tmpdir(), 'control-plane-'));
    this.#writeFiles();
    this.#process = new RoleProcess({
      role: 'control-plane',
      config: join(this.#folder, 'gateway.yaml'),
      env: { PATH: process.env['PATH'], KUBECONFIG: join(this.#folder, 'kubeconfig') },
      logFile: join(this.#folder, 'log'),
    });
  }

  static async start(options: ControlPlaneOptions): Promise<ControlPlane> {
    const controlPlane = new ControlPlane(
      options,
      await TokenIssuer.start('operators', options.host),
    );
    await controlPlane.ready();
    return controlPlane;
  }

  get assignments(): string {
    return `${this.host}:18001`;
  }

  get xds(): string {
    return `${this.host}:18000`;
  }

  ready(): Promise<void> {
    return this.until('to be ready', async () => (await this.#get('/readyz')).ok);
  }

  status(): Promise<StatusView> {
    return this.#api('status');
  }

  drivers(): Promise<readonly DriverView[]> {
    return this.#api('drivers');
  }

  pools(): Promise<readonly PoolView[]> {
    return this.#api('pools');
  }

  sessions(): Promise<readonly SessionView[]> {
    return this.#api('sessions');
  }

  /** What an operator asks of this replica, such as `drivers/<uid>/drain`. */
  act<T>(path: string, body?: object): Promise<T> {
    return this.#api(path, { method: 'POST', ...(body ? { body: JSON.stringify(body) } : {}) });
  }

  /** Those that follow it, while it leads. */
  sidecars(): Promise<readonly SidecarView[]> {
    return this.#api('sidecars');
  }

  policy(): Promise<PolicyView> {
    return this.#api('policy');
  }

  /** What this policy would change, asked of this replica. */
  diff(policy: string): Promise<PolicyDiffAnswer> {
    return this.#api('policy/diff', { method: 'POST', body: policy });
  }

  problems(): Promise<readonly ProblemView[]> {
    return this.#api('problems');
  }

  /** The value of a metric; `sample` is its name with its labels, as Prometheus reads it. */
  async metric(sample: string): Promise<number> {
    const text = await (await this.#get('/metrics')).text();
    const line = text.split('\n').find((candidate) => candidate.startsWith(`${sample} `));
    return Number(line?.slice(sample.length));
  }

  /** Replaces its policy or its templates. */
  write(name: 'policy.yaml' | 'templates.yaml', content: object | string): void {
    this.#write(name, content);
  }

  /** Replaces its policy by the usual one with other fields. */
  writePolicy(fields: object): void {
    this.#write('policy.yaml', this.#policy(fields));
  }

  async isLeading(): Promise<boolean> {
    return (await this.status()).replica.leads;
  }

  /** Asks again and again until it is so. */
  async until(what: string, isSo: () => Promise<boolean>): Promise<void> {
    await until(isSo, {
      what: `${this.host} ${what}`,
      patienceMs: PATIENCE_MS,
      log: () => this.log(),
    });
  }

  log(): string {
    return this.#process.log();
  }

  /** Its log's entries with this message. */
  logged(message: string): Record<string, unknown>[] {
    return this.#process.lines().filter(({ msg }) => msg === message);
  }

  /** Audit records of this event. */
  audited(event: 'rpc' | 'admin'): Record<string, unknown>[] {
    return this.#process.lines().filter((line) => line['event'] === event && line['version'] === 1);
  }

  signal(name: NodeJS.Signals): Promise<void> {
    return this.#process.signal(name);
  }

  /** Kills it, as a node that goes down does. */
  kill(): Promise<void> {
    return this.#process.kill();
  }

  /** Asks it to end, as a deletion of its pod does. */
  async end(): Promise<void> {
    await this.#process.end();
  }

  async restart(): Promise<void> {
    this.#process.startAgain();
    await this.ready();
  }

  async stop(): Promise<void> {
    await this.#process.kill();
    await this.#issuer.close();
    rmSync(this.#folder, { recursive: true, force: true });
  }

  #writeFiles(): void {
    const { server, host, namespace, drivers, leaseMs, tls, files = {} } = this.#options;
    const file = (name: string, content: object | string) => this.#write(name, content);
    const { cacheTtl = '10m' } = this.#options;
    mkdirSync(join(this.#folder, 'state'));
    file('kubeconfig', files.kubeconfig ?? server.adminConfig().exportConfig());
    file('gateway.yaml', {
      listen_addr: `${host}:15002`,
      policy_file: 'policy.yaml',
      state_dir: 'state',
      xds: { listen_addr: `${host}:18000`, connect_addr: `${host}:18000` },
      assignments: {
        cache_ttl: cacheTtl,
        listen_addr: `${host}:18001`,
        connect_addr: `${host}:18001`,
      },
      admin: { listen_addr: `${host}:9090` },
      ...(tls
        ? {
            mtls: {
              cert_file: tls.certFile,
              key_file: tls.keyFile,
              ca_file: tls.caFile,
              server_name: tls.serverName,
            },
          }
        : {}),
      drivers: {
        source: 'kubernetes',
        kubernetes: {
          templates_file: 'templates.yaml',
          namespaces: [drivers],
          gateway_namespace: namespace,
          lease_duration: `${leaseMs}ms`,
          ...files.kubernetes,
        },
      },
      ...files.settings,
    });
    file('policy.yaml', this.#policy(files.policy));
    file('templates.yaml', { ...TEMPLATES, ...files.templates });
  }

  #policy(fields: object = {}): object {
    const { drivers, pool } = this.#options;
    return {
      apiVersion: 'spark-gateway/v1alpha1',
      kind: 'RoutingPolicy',
      issuers: [{ issuer: this.#issuer.url, audiences: ['api://spark'] }],
      administration: { admin: [{ issuers: [this.#issuer.url], principals: ['*'] }] },
      access: [{ who: { groups: ['everyone'] }, what: { teams: ['*'], environments: ['*'] } }],
      pools: [
        {
          size: String(pool.size),
          maximum: String(pool.maximum),
          sessions_per_driver: '1',
          after_use: 'replace',
        },
      ],
      warm_namespaces: [drivers],
      ...fields,
    };
  }

  #write(name: string, content: object | string): void {
    const text =
      typeof content === 'string' ? content : stringify(content, { aliasDuplicateObjects: false });
    writeFileSync(join(this.#folder, name), text);
  }

  #get(path: string, init: RequestInit = {}): Promise<Response> {
    const signal = AbortSignal.timeout(5_000);
    return fetch(`http://${this.host}:9090${path}`, { ...init, signal });
  }

  async #api<T>(path: string, init: RequestInit = {}): Promise<T> {
    const token = await this.#issuer.token(Date.now());
    const headers = { authorization: `Bearer ${token}` };
    const response = await this.#get(`/api/v1/${path}`, { ...init, headers });
    if (!response.ok) throw new Error(`${path}: ${response.status} ${await response.text()}`);
    return (await response.json()) as T;
  }
}
