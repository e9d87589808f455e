/** A real token issuer on loopback: discovery document, key set, tokens. For tests only. */
import { once } from 'node:events';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { fileURLToPath } from 'node:url';
import {
  exportJWK,
  generateKeyPair,
  SignJWT,
  UnsecuredJWT,
  type CryptoKey,
  type JWK,
  type JWTPayload,
} from 'jose';
import { DevelopmentKeys } from '../../src/issuer/tokens.js';
import type { IssuerPolicy } from '../../src/model/policy.js';

/**
 * Keys of an issuer that a test is content with, whoever else uses them: RSA keys take long to make,
 * so that each is made once, and kept beside the compiled tests.
 */
export function sharedKeysFile(name = 'development'): string {
  return fileURLToPath(new URL(`../keys/${name}.json`, import.meta.url));
}

type Claims = { [Name in keyof JWTPayload]: JWTPayload[Name] | undefined };

interface Key {
  readonly alg: string;
  readonly privateKey: CryptoKey;
  readonly jwk: JWK;
}

export class TokenIssuer {
  readonly #server: Server;
  readonly #keys = new Map<string, Key>();
  /** Published in front of the keys; need not be keys. */
  oddKeys: readonly unknown[] = [];
  /** Key ids in the key set. */
  readonly published = new Set<string>();
  readonly url: string;
  keyFetches = 0;
  /** Answers 503 while set. */
  down = false;
  /** What the discovery document says instead of its real issuer. */
  claimedIssuer: string | undefined;

  private constructor(server: Server, url: string) {
    this.#server = server;
    this.url = url;
  }

  /** Listens on loopback, with one published RS256 key `rsa-1`. Issuers of different `name` have different keys. */
  static async start(name = 'corporate', host = '127.0.0.1'): Promise<TokenIssuer> {
    const server = createServer();
    server.listen(0, host);
    await once(server, 'listening');
    const { port } = server.address() as AddressInfo;
    const issuer = new TokenIssuer(server, `http://${host}:${port}/oauth2/default`);
    server.on('request', (request, response) => {
      const document = issuer.#answer(request.url ?? '');
      response.statusCode = issuer.down ? 503 : document ? 200 : 404;
      response.setHeader('content-type', 'application/json');
      response.end(JSON.stringify(response.statusCode === 200 ? document : {}));
    });
    const keys = await DevelopmentKeys.open(sharedKeysFile(name));
    const { privateKey } = await keys.signingKey();
    issuer.#add('rsa-1', 'RS256', privateKey, { ...keys.jwks().keys[0] });
    return issuer;
  }

  #answer(path: string): unknown {
    if (path === '/oauth2/default/.well-known/openid-configuration') {
      return { issuer: this.claimedIssuer ?? this.url, jwks_uri: `${this.url}/keys` };
    }
    if (path !== '/oauth2/default/keys') return undefined;
    this.keyFetches++;
    return { keys: [...this.oddKeys, ...[...this.published].map((kid) => this.publicJwk(kid))] };
  }

  async addKey(kid: string, alg: string, publish = true): Promise<void> {
    const { privateKey, publicKey } = await generateKeyPair(alg, { extractable: true });
    this.#add(kid, alg, privateKey, await exportJWK(publicKey), publish);
  }

  #add(kid: string, alg: string, privateKey: CryptoKey, publicKey: JWK, publish = true): void {
    this.#keys.set(kid, { alg, privateKey, jwk: { ...publicKey, kid, alg, use: 'sig' } });
    if (publish) this.published.add(kid);
  }

  publicJwk(kid: string): JWK {
    return this.#key(kid).jwk;
  }

  /** A token as Okta makes it: an hour's life from `nowMs`; `claims` overrides or, with undefined, removes. */
  token(nowMs: number, claims: Claims = {}, kid = 'rsa-1'): Promise<string> {
    const { alg, privateKey } = this.#key(kid);
    return new SignJWT(this.#claims(nowMs, claims))
      .setProtectedHeader({ alg, kid, typ: 'JWT' })
      .sign(privateKey);
  }

  /** A token without a signature. */
  unsecured(nowMs: number): string {
    return new UnsecuredJWT(this.#claims(nowMs, {})).encode();
  }

  /** A token signed with HMAC, its secret being a public key's text: the key confusion attack. */
  hmacWithPublicKey(nowMs: number, kid = 'rsa-1'): Promise<string> {
    return new SignJWT(this.#claims(nowMs, {}))
      .setProtectedHeader({ alg: 'HS256', kid })
      .sign(Buffer.from(JSON.stringify(this.publicJwk(kid))));
  }

  #claims(nowMs: number, claims: Claims): JWTPayload {
    const seconds = Math.floor(nowMs / 1000);
    const all: Claims = {
      iss: this.url,
      sub: 'ann@example.com',
      aud: 'api://spark',
      cid: 'spark-client',
      groups: ['data'],
      iat: seconds,
      nbf: seconds,
      exp: seconds + 3600,
      ...claims,
    };
    return Object.fromEntries(Object.entries(all).filter(([, value]) => value !== undefined));
  }

  #key(kid: string): Key {
    const key = this.#keys.get(kid);
    if (!key) throw new Error(`no key ${kid}`);
    return key;
  }

  /** How a policy accepts this issuer; `changes` overrides. */
  policy(changes: Partial<IssuerPolicy> = {}): IssuerPolicy {
    return {
      issuer: this.url,
      audiences: ['api://spark'],
      clientIds: ['spark-client'],
      algorithms: ['RS256', 'ES256', 'PS256'],
      groupsClaim: 'groups',
      principalClaim: 'sub',
      clockSkewMs: 30_000,
      ...changes,
    };
  }

  async close(): Promise<void> {
    this.#server.close();
    this.#server.closeAllConnections();
    await once(this.#server, 'close');
  }
}
