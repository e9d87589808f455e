/** The Playground's REST API on a real port, before real Runners and fake control planes. */
import { credentials } from '@grpc/grpc-js';
import type { ExecutionContext } from 'ava';
import { pino } from 'pino';
import { PolicyTokens, TokenVerifier } from '../../src/authz/token/verifier.js';
import { type DevelopmentIssuer, startDevelopmentIssuer } from '../../src/issuer/issuer-server.js';
import { type HttpServer, startHttpServer } from '../../src/lib/http/http-server.js';
import { type Clock, systemClock } from '../../src/model/clock.js';
import { compilePolicy } from '../../src/policy/compile.js';
import {
  createPlayground,
  type Playground,
  type RequestEnd,
} from '../../src/playground/playground.js';
import { problem } from '../../src/playground/problems.js';
import { Runners } from '../../src/playground/runners.js';
import { createSignIn } from '../../src/sign-in/create.js';
import { BearerIdentification } from '../../src/sign-in/identify.js';
import { options as policyOptions } from '../policy/support.js';
import { RunnerWorld, type WorldOptions } from '../runner/world.js';
import { sharedKeysFile } from '../support/token-issuer.js';
import { unusedPort } from '../support/unused-port.js';

export const API = '/api/v1/playground';
const AUDIENCE = 'api://spark-gateway';
const CLIENT_ID = 'playground';

export interface PlaygroundWorldOptions extends WorldOptions {
  /** Environments that have a Runner, with a control plane, of their own. */
  readonly further?: readonly string[];
  readonly clock?: Clock;
  /** By which Runners that do not answer are asked again, and given up. */
  readonly runnersClock?: Clock;
}

export class PlaygroundWorld {
  readonly url: string;
  readonly issuer: DevelopmentIssuer;
  /** Of every environment that has none of its own. */
  readonly runner: RunnerWorld;
  readonly further: ReadonlyMap<string, RunnerWorld>;
  readonly ends: RequestEnd[];
  readonly #http: HttpServer;
  readonly #playground: Playground;

  private constructor(fields: {
    url: string;
    issuer: DevelopmentIssuer;
    runner: RunnerWorld;
    further: ReadonlyMap<string, RunnerWorld>;
    ends: RequestEnd[];
    http: HttpServer;
    playground: Playground;
  }) {
    this.url = fields.url;
    this.issuer = fields.issuer;
    this.runner = fields.runner;
    this.further = fields.further;
    this.ends = fields.ends;
    this.#http = fields.http;
    this.#playground = fields.playground;
  }

  get gateway() {
    return this.runner.gateway;
  }

  static async start(
    t: ExecutionContext,
    options: PlaygroundWorldOptions = {},
  ): Promise<PlaygroundWorld> {
    const logger = pino({ level: process.env['TEST_LOG'] ?? 'silent' });
    const clock = systemClock;
    const host = '127.0.0.1';
    const issuer = await startDevelopmentIssuer({
      address: { host, port: 0 },
      keysFile: sharedKeysFile(),
      audience: AUDIENCE,
      clientId: CLIENT_ID,
      tokenTtlMs: 3_600_000,
      clock,
      logger,
    });
    const policy = compilePolicy(policyText(issuer.url), 'policy.yaml', policyOptions);
    const runner = await RunnerWorld.start(t, options);
    const further = new Map<string, RunnerWorld>();
    for (const environment of options.further ?? []) {
      further.set(environment, await RunnerWorld.start(t, options));
    }
    const verifier = new TokenVerifier({ clock, logger });
    const tokens = new PolicyTokens(verifier, () => policy);
    const port = await unusedPort(host);
    const publicUrl = new URL(`http://${host}:${port}`);
    const signIn = createSignIn(
      {
        issuer: issuer.url,
        clientId: CLIENT_ID,
        clientSecret: undefined,
        scope: 'openid',
        page: { name: 'the Playground', product: 'Spark Playground', cookie: 'spark-playground' },
        publicUrl,
        secret: Buffer.alloc(32, 'a secret of this test'),
        sessionTtlMs: 3_600_000,
      },
      { tokens, clock, logger },
    );
    const runners = new Runners({
      byEnvironment: Object.fromEntries(
        [...further].map(([environment, world]) => [environment, `127.0.0.1:${world.port}`]),
      ),
      fallback: `127.0.0.1:${runner.port}`,
      credentials: credentials.createInsecure(),
      serverName: undefined,
      userHeader: 'x-doordash-user',
      clock: options.runnersClock ?? clock,
      logger,
    });
    const ends: RequestEnd[] = [];
    const playground = createPlayground({
      runners,
      identifications: [new BearerIdentification(tokens), signIn.session],
      signIn,
      localPaths: false,
      choices: ({ principal }) => ({
        teams: [principal.subject],
        environments: ['dev'],
        sandbox_environments: ['local', 'test'],
        defaults: { team: null, environment: 'dev' },
        local_paths: false,
      }),
      version: '1.2.3',
      clock: options.clock ?? clock,
      logger,
      onEnd: (end) => ends.push(end),
    });
    const http = await startHttpServer({
      address: { host, port },
      routes: { ...signIn.routes, ...playground.routes },
      failure: problem,
      logger,
    });
    const world = new PlaygroundWorld({
      url: publicUrl.origin,
      issuer,
      runner,
      further,
      ends,
      http,
      playground,
    });
    t.teardown(async () => {
      await world.stop();
      runners.close();
      verifier.close();
      await issuer.close();
    });
    return world;
  }

  async stop(): Promise<void> {
    this.#playground.close();
    await this.#http.close();
  }

  token(user = 'alice'): Promise<string> {
    return this.issuer.mintToken(user);
  }

  /** A request with a token; `path` below the API's root. */
  async ask(path: string, init: RequestInit & { readonly user?: string } = {}): Promise<Response> {
    const { user, ...request } = init;
    const headers = new Headers(request.headers);
    if (!headers.has('authorization')) {
      headers.set('authorization', `Bearer ${await this.token(user)}`);
    }
    return fetch(`${this.url}${API}${path}`, { ...request, headers, redirect: 'manual' });
  }

  post(path: string, body: unknown, headers: Readonly<Record<string, string>> = {}) {
    return this.ask(path, {
      method: 'POST',
      headers: { 'content-type': 'application/json', ...headers },
      body: typeof body === 'string' ? body : JSON.stringify(body),
    });
  }
}

export const manifest = `apiVersion: dcp.pedregal.doordash.com/v1
kind: SparkJob
metadata:
  name: totals
  team: data
spec:
  engine:
    version: "4.1"
  coreEtl:
    transforms:
      - name: one
        sql: SELECT 1 AS one
`;

function policyText(issuer: string): string {
  return `apiVersion: spark-gateway/v1alpha1
kind: RoutingPolicy
issuers: [{ issuer: "${issuer}", audiences: ["${AUDIENCE}"], client_ids: ["${CLIENT_ID}"] }]
access: []
pools: [{ size: 2, maximum: 4 }]
`;
}
