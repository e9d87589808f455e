/** The whole gateway as users start it: `spark-gateway start`, with ports and state of its own. */
import { execFile } from 'node:child_process';
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { readFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { inspect } from 'node:util';
import { stringify } from 'yaml';
import type {
  DriverView,
  EnvoyView,
  PolicyView,
  PoolView,
  SessionView,
  StatusView,
} from '../../src/model/admin-api.js';
import { shareClassArchives } from './class-archives.js';
import { processEnded } from './process-ended.js';
import { RoleProcess } from './role-process.js';
import { unusedRange } from './loopback.js';
import { unusedPort } from './unused-port.js';

const root = fileURLToPath(new URL('../../../', import.meta.url));
const OUTPUT = 'output.log';
/** Longer than anything that a test waits for takes on a busy machine. */
const PATIENCE_MS = 120_000;

export interface GatewayOptions {
  /** The routing policy, which may name the development issuer; by default the one of config/development. */
  readonly policy?: object | ((issuer: string) => object);
  /** Further settings, as the file has them. */
  readonly settings?: Readonly<Record<string, unknown>>;
  /** With Runner and Playground. */
  readonly batch?: boolean;
}

/** A process that is stopped or about to end may take a request and never answer. */
const ANSWER_WITHIN_MS = 30_000;

function get(url: string, headers: Readonly<Record<string, string>> = {}): Promise<Response> {
  return fetch(url, { headers, signal: AbortSignal.timeout(ANSWER_WITHIN_MS) });
}

/** What the audit log says of one RPC that has ended; docs/audit.md has the rest. */
export interface AuditLine {
  readonly method: string;
  readonly session?: string;
  readonly principal?: string;
  readonly driver?: string;
  readonly decision: 'allowed' | 'refused' | 'none';
  /** Code of the refusal. */
  readonly reason?: string;
  readonly grpcStatus?: number;
  readonly durationMs?: number;
  /** When it began, ISO 8601. */
  readonly time: string;
  readonly bytesReceived: number;
  readonly bytesSent: number;
}

/** Of the development issuer; the policies of the tests name them as admin. */
const OPERATOR = 'alice';

export interface CommandResult {
  readonly exitCode: number;
  /** Standard output. */
  readonly output: string;
  readonly errors: string;
}

const children = ['control-plane', 'authz', 'envoy', 'issuer', 'runner', 'playground'] as const;

export type Child = (typeof children)[number];

export interface UrlOptions {
  readonly user?: string;
  readonly team?: string | undefined;
  readonly environment?: string | undefined;
  /** Instead of one of the development issuer. */
  readonly token?: string;
  readonly tls?: boolean;
  /** Further parameters of the URL. */
  readonly parameters?: Readonly<Record<string, string>>;
}

type Ports = Readonly<
  Record<
    | 'listen'
    | 'admin'
    | 'authzMetrics'
    | 'issuer'
    | 'envoyAdmin'
    | 'envoyHealth'
    | 'runner'
    | 'runnerMetrics'
    | 'playground'
    | 'playgroundMetrics',
    number
  >
>;

export class Gateway {
  readonly folder: string;
  readonly port: number;
  readonly #ports: Ports;
  readonly #process: RoleProcess;
  #operatorToken: string | undefined;

  private constructor(folder: string, ports: Ports) {
    this.folder = folder;
    this.port = ports.listen;
    this.#ports = ports;
    this.#process = new RoleProcess({
      role: 'start',
      config: join(folder, 'gateway.yaml'),
      env: gatewayEnv(),
      logFile: join(folder, OUTPUT),
    });
  }

  /** Resolves when it says that it is ready. */
  static async start(options: GatewayOptions): Promise<Gateway> {
    const folder = mkdtempSync(join(tmpdir(), 'gateway-'));
    const ports = {
      listen: await unusedPort(),
      xds: await unusedPort(),
      assignments: await unusedPort(),
      admin: await unusedPort(),
      authzMetrics: await unusedPort(),
      issuer: await unusedPort(),
      envoyAdmin: await unusedPort(),
      envoyHealth: await unusedPort(),
      runner: await unusedPort(),
      runnerMetrics: await unusedPort(),
      playground: await unusedPort(),
      playgroundMetrics: await unusedPort(),
    };
    const stateFolder = join(folder, 'state');
    mkdirSync(stateFolder);
    shareClassArchives(stateFolder);
    writeFileSync(
      join(folder, 'policy.yaml'),
      options.policy
        ? policyText(policyOf(options.policy, `http://127.0.0.1:${ports.issuer}`))
        : readFileSync(join(root, 'config/development/policy.yaml')),
    );
    writeFileSync(
      join(folder, 'gateway.yaml'),
      stringify(
        merge(
          settingsOf(folder, ports, { ...options, addressRange: await unusedRange() }),
          options.settings ?? {},
        ),
      ),
    );
    const gateway = new Gateway(folder, ports);
    try {
      await gateway.#started();
    } catch (cause) {
      const logs = gateway.logs();
      await gateway.stop();
      throw new Error(`the gateway did not become ready:\n${logs}`, { cause });
    }
    return gateway;
  }

  /** A connection string of the development issuer's user. */
  async url(options: UrlOptions = {}): Promise<string> {
    const { user = 'alice', team = 'data', environment = 'dev', tls } = options;
    const token = options.token ?? (await this.token(user));
    const parameters = {
      ...(tls ? { use_ssl: 'true' } : {}),
      token,
      user_id: user,
      ...('team' in options && options.team === undefined ? {} : { 'x-doordash-team': team }),
      ...('environment' in options && options.environment === undefined
        ? {}
        : { 'x-doordash-environment': environment }),
      ...options.parameters,
    };
    const text = Object.entries(parameters).map(
      ([name, value]) => `${name}=${encodeURIComponent(value)}`,
    );
    return `sc://localhost:${this.port}/;${text.join(';')}`;
  }

  /** As `url`, for a 3.5 client, which sends a token over TLS only: the header by name instead. */
  async url35(options: UrlOptions = {}): Promise<string> {
    const url = await this.url(options);
    return url.replace(/token=([^;]+)/, 'authorization=Bearer%20$1');
  }

  async token(user: string, ttl?: string): Promise<string> {
    const response = await get(
      `${this.#http('issuer')}/token?user=${user}${ttl === undefined ? '' : `&ttl=${ttl}`}`,
    );
    const text = (await response.text()).trim();
    if (!response.ok) throw new Error(`no token for ${user}: ${response.status} ${text}`);
    return text;
  }

  get issuer(): string {
    return this.#http('issuer');
  }

  /** Where the admin API and metrics are. */
  get adminUrl(): string {
    return this.#http('admin');
  }

  /** Where the Playground answers. */
  get playgroundUrl(): string {
    return this.#http('playground');
  }

  /** gRPC target of the Runner. */
  get runnerAddress(): string {
    return `127.0.0.1:${this.#ports.runner}`;
  }

  status(): Promise<StatusView> {
    return this.#api('status');
  }

  /** Whether the control plane says that requests may be sent to it. */
  async isReady(): Promise<boolean> {
    return (await get(`${this.#http('admin')}/readyz`)).ok;
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

  envoys(): Promise<readonly EnvoyView[]> {
    return this.#api('envoys');
  }

  policy(): Promise<PolicyView> {
    return this.#api('policy');
  }

  /** Runs `spark-gateway` with these arguments and the settings of this gateway. */
  command(...args: readonly string[]): Promise<CommandResult> {
    const line = [join(root, 'build/src/main.js'), ...args];
    const config = ['--config', join(this.folder, 'gateway.yaml')];
    return new Promise((resolve) => {
      const options = { env: gatewayEnv(), timeout: PATIENCE_MS };
      execFile(process.execPath, [...line, ...config], options, (error, out, err) => {
        const exitCode = typeof error?.code === 'number' ? error.code : error ? -1 : 0;
        resolve({ exitCode, output: out, errors: err });
      });
    });
  }

  async metrics(): Promise<string> {
    return (await get(`${this.#http('admin')}/metrics`)).text();
  }

  /** The RPCs of a session that have ended so far, in the order of their ends. */
  async audit(sessionId: string): Promise<readonly AuditLine[]> {
    const log = await readFile(join(this.folder, 'state/logs/control-plane.log'), 'utf8');
    return log
      .split('\n')
      .filter((line) => line.includes(sessionId) && line.startsWith('{"version":1,"event":"rpc"'))
      .map((line) => JSON.parse(line) as AuditLine);
  }

  /** The driver that a session is on. */
  async driverOf(sessionId: string): Promise<DriverView> {
    const session = (await this.sessions()).find(({ id }) => id === sessionId);
    const driver = (await this.drivers()).find(({ uid }) => uid === session?.driver);
    if (!driver) throw new Error(`session ${sessionId} has no driver`);
    return driver;
  }

  /** Asks again and again until `read` gives what `fits`; nothing tells us of it. */
  async until<T>(read: () => Promise<T>, fits: (value: T) => boolean): Promise<T> {
    const giveUpAtMs = Date.now() + PATIENCE_MS;
    let last: unknown = 'nothing';
    while (Date.now() < giveUpAtMs) {
      try {
        const value = await read();
        if (fits(value)) return value;
        last = value;
      } catch (error) {
        last = error;
      }
      await pause(50);
    }
    throw new Error(`What was waited for has not come; the last was ${inspect(last)}`);
  }

  pid(child: Child): number {
    return Number(readFileSync(join(this.folder, 'state/run', `${child}.pid`), 'utf8'));
  }

  /** Kills one of its processes without warning; resolves when another has taken its place. */
  async restart(child: Child): Promise<void> {
    const before = await this.kill(child);
    await this.until(
      async () => this.pid(child),
      (pid) => pid !== before && pid > 0,
    );
    await this.#ready(child);
  }

  /** Kills one of its processes without warning. It is started again by itself. */
  async kill(child: Child): Promise<number> {
    const pid = this.pid(child);
    process.kill(pid, 'SIGKILL');
    await processEnded(pid);
    return pid;
  }

  /** Kills `spark-gateway start` itself without warning; resolves when what it started has ended, but for the drivers. */
  async crash(): Promise<void> {
    const pids = this.#children().map((child) => this.pid(child));
    await this.#process.kill();
    await Promise.all(pids.map((pid) => processEnded(pid)));
  }

  /** Starts it again with the state it had. Resolves when it says that it is ready. */
  async startAgain(): Promise<void> {
    this.#process.startAgain({ afresh: true });
    await this.#started();
  }

  /** Process id of a local driver. */
  driverPid(uid: string): number {
    const record: unknown = JSON.parse(
      readFileSync(join(this.folder, 'state/records', `${uid}.json`), 'utf8'),
    );
    const text = JSON.stringify(record);
    return Number(/"instance":"(\d+)@/.exec(text)?.[1]);
  }

  setPolicy(policy: object): void {
    writeFileSync(join(this.folder, 'policy.yaml'), policyText(policy));
  }

  /** The end of what every process has logged, for a failing test. */
  logs(): string {
    return `${this.#process.output()}\n${this.#readLogs(5000)}`;
  }

  /** Everything that every process has logged. */
  allLogs(): string {
    return this.#readLogs(Infinity);
  }

  /** Ends it as Ctrl-C does. Resolves with its exit code when every process is gone. */
  async stop(): Promise<number> {
    const exitStatus = await this.#process.end('SIGINT');
    rmSync(this.folder, { recursive: true, force: true });
    return exitStatus;
  }

  #started(): Promise<void> {
    return this.#process.says('is ready after');
  }

  /** Those that have a process. */
  #children(): readonly Child[] {
    return children.filter((child) => existsSync(join(this.folder, 'state/run', `${child}.pid`)));
  }

  async #ready(child: Child): Promise<void> {
    const urls = {
      'control-plane': `${this.#http('admin')}/readyz`,
      authz: `${this.#http('authzMetrics')}/readyz/issuers`,
      envoy: `${this.#http('envoyAdmin')}/ready`,
      issuer: `${this.#http('issuer')}/.well-known/openid-configuration`,
      runner: `${this.#http('runnerMetrics')}/readyz`,
      playground: `${this.#http('playgroundMetrics')}/readyz`,
    };
    await this.until(
      async () => (await get(urls[child])).ok,
      (ok) => ok,
    );
  }

  #readLogs(characters: number): string {
    const folder = join(this.folder, 'state/logs');
    const files = (existsSync(folder) ? readdirSync(folder) : []).map(
      (name) => `== ${name}\n${readFileSync(join(folder, name), 'utf8').slice(-characters)}`,
    );
    return files.join('\n');
  }

  #http(port: keyof Ports): string {
    return `http://127.0.0.1:${this.#ports[port]}`;
  }

  /** Asks the admin API as an operator. The token is kept, so that this goes on while the issuer is down. */
  async #api<T>(path: string): Promise<T> {
    this.#operatorToken ??= await this.token(OPERATOR);
    const response = await get(`${this.#http('admin')}/api/v1/${path}`, {
      authorization: `Bearer ${this.#operatorToken}`,
    });
    if (response.status === 401) this.#operatorToken = undefined;
    if (!response.ok) throw new Error(`${path}: ${response.status} ${await response.text()}`);
    return (await response.json()) as T;
  }
}

/** What a person would have set, without what only the tests know. */
function gatewayEnv(): NodeJS.ProcessEnv {
  return Object.fromEntries(
    Object.entries(process.env).filter(([name]) => !name.startsWith('SPARK_GATEWAY_')),
  );
}

/** With an operator, unless it says who that is. */
function policyText(policy: object): string {
  const administration = { admin: [{ principals: [`${OPERATOR}@example.com`] }] };
  return stringify({ administration, ...policy });
}

function policyOf(policy: NonNullable<GatewayOptions['policy']>, issuer: string): object {
  return typeof policy === 'function' ? (policy as (issuer: string) => object)(issuer) : policy;
}

function settingsOf(
  folder: string,
  ports: Readonly<Record<string, number>>,
  {
    addressRange,
    batch = false,
  }: Pick<GatewayOptions, 'batch'> & {
    /** Loopback network of its drivers, so that gateways of several tests do not meet. */
    readonly addressRange: string;
  },
): Record<string, unknown> {
  const at = (name: string) => `127.0.0.1:${ports[name]}`;
  return {
    listen_addr: at('listen'),
    public_addr: `localhost:${ports['listen']}`,
    policy_file: join(folder, 'policy.yaml'),
    state_dir: join(folder, 'state'),
    drain_time: '5s',
    issuer: { enabled: true, listen_addr: at('issuer') },
    xds: {
      listen_addr: at('xds'),
      connect_addr: at('xds'),
      relay_addr: `unix:${join(folder, 'xds.sock')}`,
    },
    assignments: { listen_addr: at('assignments'), connect_addr: at('assignments') },
    admin: { listen_addr: at('admin') },
    runner: {
      enabled: String(batch),
      listen_addr: at('runner'),
      metrics_addr: at('runnerMetrics'),
    },
    playground: {
      enabled: String(batch),
      listen_addr: at('playground'),
      metrics_addr: at('playgroundMetrics'),
      runner_addr: at('runner'),
    },
    authz: {
      listen_addr: `unix:${join(folder, 'authz.sock')}`,
      metrics_addr: at('authzMetrics'),
      // Every end-to-end test holds with decision leases and, with TEST_LEASE_TIME=0, without.
      ...(process.env['TEST_LEASE_TIME'] && { lease_time: process.env['TEST_LEASE_TIME'] }),
    },
    envoy: {
      admin_addr: at('envoyAdmin'),
      health_addr: at('envoyHealth'),
      concurrency: '1',
    },
    drivers: {
      local: { address_range: addressRange, memory: '768MiB', cores: '1', class_archive: 'false' },
    },
  };
}

function merge(
  base: Readonly<Record<string, unknown>>,
  more: Readonly<Record<string, unknown>>,
): Record<string, unknown> {
  const merged: Record<string, unknown> = { ...base };
  for (const [key, value] of Object.entries(more)) {
    const below = merged[key];
    merged[key] = isMap(below) && isMap(value) ? merge(below, value) : value;
  }
  return merged;
}

function isMap(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
