/**
 * Callers known by a token of the Kubernetes API server, for the time when the identity provider is
 * away. They may here what they may there: whoever may patch the gateway's records may drain drivers
 * with kubectl already, and whoever may list them sees the fleet.
 * https://kubernetes.io/docs/reference/access-authn-authz/authentication/#webhook-token-authentication
 */
import { createHash } from 'node:crypto';
import { decodeJwt } from 'jose';
import type { KubernetesApi } from '../lib/kubernetes/kubernetes-api.js';
import { hasStatus } from '../lib/kubernetes/http.js';
import type { IdentifiableRequest, Identification, Identified } from '../model/administration.js';
import type { Clock } from '../model/clock.js';
import { GatewayError, reasonOf } from '../model/errors.js';
import type { AdministrationRole } from '../model/policy.js';
import { recent } from '../lib/recent.js';

export interface KubernetesRightsOptions {
  /** Of the cluster that holds the gateway's records. */
  readonly api: Pick<KubernetesApi, 'request'>;
  /** Of the records. */
  readonly namespace: string;
  /** Tokens must be made for it: one that is meant for the API server itself is not taken. */
  readonly audience: string;
  readonly clock: Clock;
}

/** Issuer of a principal that the API server vouches for. No token issuer is called so: those are URLs. */
const KUBERNETES_ISSUER = 'kubernetes';
const BEARER = /^bearer +(?<token>\S+) *$/i;
/** A right that was taken away is noticed after this. */
const REMEMBERED_MS = 30_000;
/** Anybody can write a token down: what is asked of the API server for it is bounded. */
const REVIEWS_PER_SECOND = 10;
const TIMEOUT_MS = 5_000;

interface UserInfo {
  readonly username?: string;
  readonly uid?: string;
  readonly groups?: readonly string[];
  readonly extra?: Readonly<Record<string, readonly string[]>>;
}

export class KubernetesRights implements Identification {
  readonly #options: KubernetesRightsOptions;
  /** By the token's hash. */
  readonly #known = recent<string, { readonly found: Promise<Identified>; readonly atMs: number }>(
    1_000,
  );
  #recent: number[] = [];

  constructor(options: KubernetesRightsOptions) {
    this.#options = options;
  }

  /** undefined for a token that is not made for the gateway by an API server. */
  async identify({ headers }: IdentifiableRequest): Promise<Identified | undefined> {
    const { authorization } = headers;
    if (typeof authorization !== 'string') return undefined;
    const token = BEARER.exec(authorization.trim())?.groups?.['token'];
    const expiresAtMs = token === undefined ? undefined : this.#expiryOf(token);
    if (token === undefined || expiresAtMs === undefined) return undefined;
    const { clock } = this.#options;
    const key = createHash('sha256').update(token).digest('base64');
    const known = this.#known.get(key);
    if (known && clock.now() - known.atMs < REMEMBERED_MS) return known.found;
    this.#count();
    const found = this.#review(token, expiresAtMs);
    this.#known.set(key, { found, atMs: clock.now() });
    found.catch((error: unknown) => {
      // What could not be found out is asked again.
      const unknown =
        !(error instanceof GatewayError) || error.code === 'CONTROL_PLANE_UNAVAILABLE';
      if (unknown) this.#known.delete(key);
    });
    return found;
  }

  /** Of a token with the audience, unverified. */
  #expiryOf(token: string): number | undefined {
    try {
      const { aud, exp } = decodeJwt(token);
      const audiences = Array.isArray(aud) ? aud : [aud];
      if (exp === undefined || !audiences.includes(this.#options.audience)) return undefined;
      return exp * 1000;
    } catch {
      return undefined;
    }
  }

  #count(): void {
    const nowMs = this.#options.clock.now();
    this.#recent = this.#recent.filter((atMs) => nowMs - atMs < 1_000);
    if (this.#recent.length >= REVIEWS_PER_SECOND) {
      throw new GatewayError(
        'CONTROL_PLANE_UNAVAILABLE',
        'Too many tokens of the Kubernetes API server are asked about now; try again in a moment.',
        { retryAfterMs: 1_000 },
      );
    }
    this.#recent.push(nowMs);
  }

  async #review(token: string, expiresAtMs: number): Promise<Identified> {
    const { audience } = this.#options;
    const { status } = await this.#ask<{
      status?: {
        authenticated?: boolean;
        audiences?: readonly string[];
        user?: UserInfo;
        error?: string;
      };
    }>('/apis/authentication.k8s.io/v1/tokenreviews', {
      apiVersion: 'authentication.k8s.io/v1',
      kind: 'TokenReview',
      spec: { token, audiences: [audience] },
    });
    const { authenticated = false, audiences = [], user = {} } = status ?? {};
    const { username = '' } = user;
    // An API server that knows no audiences leaves them out: then the token is meant for itself.
    if (!authenticated || username === '' || !audiences.includes(audience)) {
      throw new GatewayError(
        'TOKEN_SIGNATURE_INVALID',
        `The Kubernetes API server does not accept your token. Get a new one, such as with: kubectl create token <service account> --audience ${audience}`,
      );
    }
    return {
      caller: {
        principal: { issuer: KUBERNETES_ISSUER, subject: username },
        groups: user.groups ?? [],
        claims: {},
      },
      role: await this.#roleOf(user),
      goodUntilMs: expiresAtMs,
    };
  }

  async #roleOf(user: UserInfo): Promise<AdministrationRole> {
    if (await this.#may(user, 'patch')) return 'admin';
    return (await this.#may(user, 'list')) ? 'read' : 'none';
  }

  async #may({ username, uid, groups, extra }: UserInfo, verb: string): Promise<boolean> {
    const { namespace } = this.#options;
    const { status } = await this.#ask<{ status?: { allowed?: boolean } }>(
      '/apis/authorization.k8s.io/v1/subjectaccessreviews',
      {
        apiVersion: 'authorization.k8s.io/v1',
        kind: 'SubjectAccessReview',
        spec: {
          user: username,
          uid,
          groups,
          extra,
          resourceAttributes: {
            namespace,
            verb,
            group: 'spark-gateway.io',
            resource: 'sparkdrivers',
          },
        },
      },
    );
    return status?.allowed === true;
  }

  async #ask<T>(path: string, body: object): Promise<T> {
    try {
      return await this.#options.api.request<T>({
        method: 'POST',
        path,
        timeoutMs: TIMEOUT_MS,
        body,
      });
    } catch (error) {
      const why = hasStatus(error, 403)
        ? 'the gateway lacks the ClusterRole system:auth-delegator (k8s/rbac.yaml)'
        : reasonOf(error);
      throw new GatewayError(
        'CONTROL_PLANE_UNAVAILABLE',
        `The Kubernetes API server cannot be asked who you are: ${why}.`,
        { cause: error, retryAfterMs: 2_000 },
      );
    }
  }
}
