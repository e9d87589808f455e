/** A gateway with TLS by a private authority, and what its clients are told of it. */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { TestAuthority } from '../support/certificates.js';
import { Gateway } from '../support/gateway.js';
import {
  type Program,
  runProgram,
  type ProgramOptions,
  type ProgramResult,
} from '../support/program.js';
import { routingPolicy } from '../support/routing-policy.js';

export const root = fileURLToPath(new URL('../../../', import.meta.url));
export const examples = join(root, 'clients/examples');
export const pythonTests = join(root, 'test/clients/python');

/** The Python in which the helper's wheel, pytest, notebooks and Metaflow are installed. */
export const python =
  process.env['SPARK_GATEWAY_PYTHON_CLIENTS'] ?? join(root, '.local/venv-clients/bin/python');

export class ClientsWorld {
  readonly gateway: Gateway;
  /** A home of its own for every client. */
  readonly home: string;
  readonly caFile: string;

  private constructor(gateway: Gateway, home: string, caFile: string) {
    this.gateway = gateway;
    this.home = home;
    this.caFile = caFile;
  }

  /** One driver of team data in dev stands ready; others start on demand, and the gateway says so. */
  static async start(): Promise<ClientsWorld> {
    const home = mkdtempSync(join(tmpdir(), 'clients-'));
    const authority = new TestAuthority();
    const files = authority.writeFiles(home, 'gateway', {
      commonName: 'localhost',
      dnsNames: ['localhost'],
    });
    const gateway = await Gateway.start({
      policy: routingPolicy({
        pools: [
          {
            match: { environments: ['dev'] },
            size: 1,
            maximum: 2,
            sessions_per_driver: 10,
            sharing: 'team',
            after_use: 'reuse',
          },
          { size: 0, maximum: 1, idle_ttl: '5m' },
        ],
        warm_namespaces: ['sjns-data-dev'],
      }),
      settings: {
        tls_cert_file: files.certFile,
        tls_key_file: files.keyFile,
        authz: { hold_time: '2s' },
      },
    });
    return new ClientsWorld(gateway, home, files.caFile);
  }

  /** What the environment of a client says; nothing of ours is in it but what is named. */
  async env(
    more: Readonly<Record<string, string>> = {},
    user = 'alice',
  ): Promise<Record<string, string>> {
    return {
      PATH: process.env['PATH'] ?? '',
      HOME: this.home,
      USER: user,
      LANG: 'C.UTF-8',
      GRPC_VERBOSITY: 'NONE',
      SPARK_CONNECT_GATEWAY: `localhost:${this.gateway.port}`,
      // On loopback it is off unless somebody says so.
      SPARK_CONNECT_TLS: 'true',
      SPARK_CONNECT_CA_FILE: this.caFile,
      SPARK_CONNECT_TEAM: 'data',
      SPARK_CONNECT_ENV: 'dev',
      SPARK_CONNECT_TOKEN: await this.gateway.token(user),
      ...more,
    };
  }

  async run(
    command: string,
    args: readonly string[],
    options: ProgramOptions = {},
  ): Promise<ProgramResult> {
    return runProgram(command, args, { env: await this.env(), ...options });
  }

  /** Resolves when no session is left. */
  async noSessions(): Promise<void> {
    await this.gateway.until(
      () => this.gateway.sessions(),
      ({ length }) => length === 0,
    );
  }

  async stop(): Promise<number> {
    const exitCode = await this.gateway.stop();
    rmSync(this.home, { recursive: true, force: true });
    return exitCode;
  }

  /** A folder of its own below the home, with these files. */
  folder(files: Readonly<Record<string, string>>): string {
    const folder = mkdtempSync(join(this.home, 'project-'));
    for (const [name, text] of Object.entries(files)) writeFileSync(join(folder, name), text);
    return folder;
  }
}

export function read(...path: readonly string[]): string {
  return readFileSync(join(...path), 'utf8');
}

/** The test goes on while it runs; a failure is shown with what it said. */
export async function endsWell(program: Program): Promise<string> {
  const { exitCode, output } = await program.ended;
  if (exitCode !== 0) throw new Error(`It ended with ${exitCode}:\n${output}`);
  return output;
}
