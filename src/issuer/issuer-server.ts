/**
 * The development token issuer: discovery document, keys and tokens over HTTP. It gives anyone who
 * reaches it any token, so it listens on loopback addresses only.
 */
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { Logger } from 'pino';
import { duration } from '../lib/yaml/text-types.js';
import { isLoopback, type TcpAddress } from '../model/address.js';
import type { Clock } from '../model/clock.js';
import { GatewayError } from '../model/errors.js';
import { type Answer, json, text, Authorization, type AuthorizedPerson } from './authorization.js';
import { DEVICE_GRANT, DeviceAuthorization } from './device-authorization.js';
import {
  ALGORITHM,
  DevelopmentKeys,
  findPerson,
  people,
  issuerUrl,
  mintIdToken,
  mintToken,
  unknownPerson,
} from './tokens.js';

export interface DevelopmentIssuerOptions {
  /** A loopback address; port 0 takes a free one. */
  readonly address: TcpAddress;
  /** Where the private keys are kept. */
  readonly keysFile: string;
  readonly audience: string;
  readonly clientId: string;
  readonly tokenTtlMs: number;
  readonly clock: Clock;
  readonly logger: Logger;
}

export interface MintOptions {
  readonly ttlMs?: number;
  /** When the token says it was issued; now by default. In the past, for one that has expired. */
  readonly issuedAtMs?: number;
  /** Claims beside, or in place of, the person's. */
  readonly claims?: Readonly<Record<string, unknown>>;
}

export interface DevelopmentIssuer {
  /** The `iss` of its tokens, and where it is served. */
  readonly url: string;
  /** A token of one of the sample people. Rejects for anyone else. */
  mintToken(user: string, options?: MintOptions): Promise<string>;
  /** Signs with a new key from now on; with `revoke`, the former ones verify no more. */
  rotateKeys(options?: { readonly revoke?: boolean }): Promise<void>;
  close(): Promise<void>;
}

const tokenLife = duration('1s', '30d');

export async function startDevelopmentIssuer(
  options: DevelopmentIssuerOptions,
): Promise<DevelopmentIssuer> {
  const { address, audience, clientId, clock, logger } = options;
  if (!isLoopback(address.host)) {
    throw new GatewayError(
      'SETTINGS_INVALID',
      `the development issuer must listen on a loopback address, not on ${address.host}`,
    );
  }
  const keys = await DevelopmentKeys.open(options.keysFile);
  const server = createServer();
  const url = issuerUrl({ host: address.host, port: await listen(server, address) });

  const issuer: DevelopmentIssuer = {
    url,
    mintToken(user, { ttlMs = options.tokenTtlMs, issuedAtMs = clock.now(), claims } = {}) {
      return mintToken(keys, user, { issuer: url, audience, clientId, issuedAtMs, ttlMs }, claims);
    },
    rotateKeys: ({ revoke = false } = {}) => keys.rotate({ revoke }),
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };

  const tokens = async ({ user, nonce }: AuthorizedPerson) => {
    const token = { issuer: url, audience, clientId, issuedAtMs: clock.now() };
    const ttlMs = options.tokenTtlMs;
    return {
      accessToken: await mintToken(keys, user, { ...token, ttlMs }),
      idToken: await mintIdToken(keys, user, { ...token, ttlMs }, nonce),
      ttlMs,
    };
  };
  const parts: Parts = {
    issuer,
    keys,
    authorization: new Authorization({ clientId, clock, tokens }),
    devices: new DeviceAuthorization({ url, clientId, clock, tokens }),
  };

  server.on('request', (request, response) => {
    answer(request, parts).then(
      (result) => send(response, result),
      (error: unknown) => {
        logger.error({ err: error }, 'the development issuer failed to answer');
        send(response, text(500, 'failed; see the log'));
      },
    );
  });
  logger.info({ url }, 'development issuer is up; its tokens are for development only');
  return issuer;
}

interface Parts {
  readonly issuer: DevelopmentIssuer;
  readonly keys: DevelopmentKeys;
  readonly authorization: Authorization;
  readonly devices: DeviceAuthorization;
}

async function answer(
  request: IncomingMessage,
  { issuer, keys, authorization, devices }: Parts,
): Promise<Answer> {
  const { url } = issuer;
  // A page in a browser may reach a loopback address under a name of its own (DNS rebinding).
  if (!isLoopback(hostOf(request)) || request.headers.origin !== undefined) {
    return text(403, 'only programs on this machine may ask');
  }
  const { pathname, searchParams } = new URL(request.url ?? '/', url);
  switch (`${request.method} ${pathname}`) {
    case 'GET /.well-known/openid-configuration':
    case 'GET /.well-known/oauth-authorization-server':
      return json(discoveryDocument(url));
    case 'GET /v1/keys':
      return json(keys.jwks());
    case 'GET /token':
      return giveToken(searchParams, issuer);
    case 'GET /authorize':
      return authorization.authorize(searchParams);
    case 'POST /token':
      return exchange(await readForm(request), authorization, devices);
    case 'POST /device_authorization':
      return devices.begin(await readForm(request));
    case 'GET /device':
      return devices.confirm(searchParams);
    case 'POST /revoke':
      return devices.revoke(await readForm(request));
    case 'POST /rotate':
      await issuer.rotateKeys({ revoke: searchParams.get('revoke') === 'true' });
      return json(keys.jwks());
    case 'GET /':
      return text(200, usage(url));
    default:
      return text(404, usage(url));
  }
}

async function exchange(
  form: URLSearchParams,
  authorization: Authorization,
  devices: DeviceAuthorization,
): Promise<Answer> {
  switch (form.get('grant_type')) {
    case 'authorization_code':
      return authorization.exchange(form);
    case DEVICE_GRANT:
      return devices.exchange(form);
    case 'refresh_token':
      return devices.renew(form);
    default:
      return json({ error: 'unsupported_grant_type' }, 400);
  }
}

async function giveToken(query: URLSearchParams, issuer: DevelopmentIssuer): Promise<Answer> {
  const user = query.get('user') ?? '';
  if (!findPerson(user)) return text(404, unknownPerson(user));
  const ttl = query.get('ttl');
  const ttlMs = ttl === null ? undefined : tokenLife.parse(ttl, '');
  if (ttl !== null && ttlMs === undefined) return text(400, `ttl must be ${tokenLife.allowed}`);
  return text(200, await issuer.mintToken(user, ttlMs === undefined ? {} : { ttlMs }));
}

/** OpenID Connect Discovery 1.0, section 3. */
function discoveryDocument(url: string): Readonly<Record<string, unknown>> {
  return {
    issuer: url,
    jwks_uri: `${url}/v1/keys`,
    authorization_endpoint: `${url}/authorize`,
    token_endpoint: `${url}/token`,
    device_authorization_endpoint: `${url}/device_authorization`,
    revocation_endpoint: `${url}/revoke`,
    token_endpoint_auth_methods_supported: ['none'],
    grant_types_supported: ['authorization_code', DEVICE_GRANT, 'refresh_token'],
    response_types_supported: ['code'],
    code_challenge_methods_supported: ['S256'],
    scopes_supported: ['openid', 'offline_access'],
    subject_types_supported: ['public'],
    id_token_signing_alg_values_supported: [ALGORITHM],
    claims_supported: ['iss', 'sub', 'aud', 'cid', 'groups', 'team', 'exp', 'iat', 'ver'],
  };
}

function usage(url: string): string {
  return [
    'Development token issuer of the Spark Connect gateway.',
    `GET  ${url}/authorize   sign-in of the console (authorization code with PKCE)`,
    `GET  ${url}/device      confirms what spark-gateway login shows (device flow)`,
    `GET  ${url}/token?user=<${people.map(({ user }) => user).join('|')}>[&ttl=10m]`,
    `POST ${url}/rotate[?revoke=true]`,
    `GET  ${url}/v1/keys`,
  ].join('\n');
}

function hostOf({ headers }: IncomingMessage): string {
  const host = `http://${headers.host ?? ''}`;
  return URL.canParse(host) ? new URL(host).hostname : '';
}

function send(response: ServerResponse, { status, headers, body }: Answer): void {
  response
    .writeHead(status, {
      'cache-control': 'no-store',
      'referrer-policy': 'no-referrer',
      ...headers,
    })
    .end(body);
}

/** Resolves with the port. */
function listen(server: Server, { host, port }: TcpAddress): Promise<number> {
  return new Promise((resolve, reject) => {
    server.once('error', (error) => {
      reject(
        new Error(`the development issuer cannot listen on ${host}:${port}: ${error.message}`, {
          cause: error,
        }),
      );
    });
    server.listen({ host, port }, () => {
      const address = server.address();
      resolve(typeof address === 'object' && address ? address.port : port);
    });
  });
}

const MAX_BYTES = 16 * 1024;

/** The body of a form (application/x-www-form-urlencoded). Empty when it is larger than any that is meant. */
async function readForm(request: IncomingMessage): Promise<URLSearchParams> {
  const chunks: Buffer[] = [];
  let length = 0;
  for await (const chunk of request as AsyncIterable<Buffer>) {
    length += chunk.length;
    if (length > MAX_BYTES) return new URLSearchParams();
    chunks.push(chunk);
  }
  return new URLSearchParams(Buffer.concat(chunks).toString());
}
