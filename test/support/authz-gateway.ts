/** A running authz server with a real issuer and an assigner that a test directs. */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import pino from 'pino';
import { startAuthzServer, type AuthzServerOptions } from '../../src/authz/authz-server.js';
import { type AuthzMetrics } from '../../src/authz/authz-metrics.js';
import type { AssignRequest, Assignment, SessionActivity } from '../../src/model/assignment.js';
import { CheckClient } from './check-client.js';
import { ManualClock } from './manual-clock.js';
import { Signal } from './signal.js';
import { plainPolicy, type PlainPolicyOptions } from './plain-policy.js';
import { TokenIssuer } from './token-issuer.js';

export function assignmentFor(request: AssignRequest): Assignment {
  const { sessionId, principal, team, environment, namespace } = request;
  return {
    sessionId,
    principal,
    driverUid: 'driver-1',
    cluster: `spark/${namespace}`,
    address: '192.0.2.9:15002',
    driverToken: 'drivers-own-token',
    team,
    environment,
    namespace,
    cacheTtlMs: 60_000,
  };
}

export type Assign = (request: AssignRequest, signal: AbortSignal) => Promise<Assignment>;

export class AuthzGateway {
  readonly clock = new ManualClock();
  readonly asked: AssignRequest[] = [];
  readonly activity: SessionActivity[] = [];
  readonly decisions: Parameters<AuthzMetrics['decided']>[0][] = [];
  readonly shadows: Parameters<AuthzMetrics['shadow']>[0][] = [];
  readonly letThrough: string[] = [];
  readonly logLines: string[] = [];
  /** How the assigner answers; a test replaces it. */
  assign: Assign = (request) => Promise.resolve(assignmentFor(request));
  /** What the assigner need not ask for; a test replaces it. */
  remembered: (request: AssignRequest) => Assignment | undefined = () => undefined;
  readonly issuer: TokenIssuer;
  readonly #directory: string;
  #policy = plainPolicy({ issuers: [] });
  #close: (limitMs?: number) => Promise<void> = () => Promise.resolve();
  target = '';
  client!: CheckClient;

  private constructor(issuer: TokenIssuer, directory: string) {
    this.issuer = issuer;
    this.#directory = directory;
  }

  static async start(
    policy: Partial<PlainPolicyOptions> = {},
    options: Partial<AuthzServerOptions> = {},
  ): Promise<AuthzGateway> {
    const issuer = await TokenIssuer.start();
    const gateway = new AuthzGateway(issuer, await mkdtemp(join(tmpdir(), 'authz-')));
    const keysAsked = new Signal<void>();
    gateway.setPolicy(policy);
    const server = await startAuthzServer({
      address: { path: gateway.socket },
      policy: () => gateway.#policy,
      assigner: {
        assign: (request, signal) => {
          gateway.asked.push(request);
          return gateway.assign(request, signal);
        },
        remembered: (request) => gateway.remembered(request),
      },
      activity: { activity: (events) => void gateway.activity.push(...events) },
      clock: gateway.clock,
      logger: pino({ level: 'debug' }, { write: (line) => void gateway.logLines.push(line) }),
      metrics: {
        decided: (decision) => void gateway.decisions.push(decision),
        tokenCache: () => undefined,
        keyFetch: () => keysAsked.emit(),
        assignmentCache: () => undefined,
        queryLetThrough: (code) => void gateway.letThrough.push(code),
        shadow: (verdict) => void gateway.shadows.push(verdict),
      },
      ...options,
    });
    // On a busy machine the first fetch may time out.
    for (let retry = 0; retry < 3 && server.issuersWithoutKeys().length > 0; retry++) {
      await keysAsked.next();
      await gateway.clock.advance(2_000);
    }
    gateway.target = server.target;
    gateway.#close = (limitMs) => server.close(limitMs);
    gateway.client = new CheckClient(server.target);
    return gateway;
  }

  /** In the place of the one before. */
  setPolicy(policy: Partial<PlainPolicyOptions>): void {
    this.#policy = plainPolicy({ issuers: [this.issuer.policy()], ...policy });
  }

  get socket(): string {
    return join(this.#directory, 'authz.sock');
  }

  /** A token of the issuer; `claims` overrides. */
  token(claims: Parameters<TokenIssuer['token']>[1] = {}): Promise<string> {
    return this.issuer.token(this.clock.now(), claims);
  }

  drain(limitMs?: number): Promise<void> {
    return this.#close(limitMs);
  }

  async close(): Promise<void> {
    this.client.close();
    await this.#close(0);
    await this.issuer.close();
    await rm(this.#directory, { recursive: true });
  }
}
