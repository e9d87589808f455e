/** Fetches an issuer's keys: its discovery document, then the key set that the document names. */
import { readFile } from 'node:fs/promises';
import type { JSONWebKeySet } from 'jose';
import { Agent, type Dispatcher, EnvHttpProxyAgent, fetch, type Response } from 'undici';
import { isLoopback } from '../../model/address.js';
import { reasonOf } from '../../model/errors.js';
import { isObject } from '../../model/json.js';
import type { IssuerPolicy } from '../../model/policy.js';

/** Resolves with the issuer's current keys; rejects with an Error that says what is wrong. */
export type FetchKeys = (issuer: IssuerPolicy, signal: AbortSignal) => Promise<JSONWebKeySet>;

/** No discovery document or key set comes near this size. */
const MAX_BYTES = 1024 * 1024;
const TIMEOUT_MS = 5_000;

/** OpenID Connect Discovery 1.0, section 4. Goes through the proxy of `HTTPS_PROXY`, but for loopback and `NO_PROXY`. */
export function keysOverHttps(env: NodeJS.ProcessEnv = process.env): FetchKeys {
  return async (issuer, signal) => {
    const documents = new Documents(env, await authorityOf(issuer));
    const limited = AbortSignal.any([signal, AbortSignal.timeout(TIMEOUT_MS)]);
    try {
      const url = issuer.jwksUri ?? (await discover(issuer, documents, limited));
      const keySet = await documents.fetch(url, limited);
      if (!Array.isArray(keySet['keys'])) throw new Error(`${url} has no list "keys".`);
      return { keys: keySet['keys'] };
    } finally {
      await documents.close();
    }
  };
}

async function authorityOf({ caFile }: IssuerPolicy): Promise<string | undefined> {
  if (caFile === undefined) return undefined;
  try {
    return await readFile(caFile, 'utf8');
  } catch (error) {
    throw new Error(`its ca_file ${caFile} cannot be read: ${reasonOf(error)}`, { cause: error });
  }
}

async function discover(
  issuer: IssuerPolicy,
  documents: Documents,
  signal: AbortSignal,
): Promise<string> {
  const url =
    issuer.discoveryUrl ?? `${issuer.issuer.replace(/\/$/, '')}/.well-known/openid-configuration`;
  const document = await documents.fetch(url, signal);
  if (document['issuer'] !== issuer.issuer) throw anotherIssuer(url, document['issuer'], issuer);
  const jwksUri = document['jwks_uri'];
  if (typeof jwksUri !== 'string') {
    throw new Error(`The discovery document at ${url} has no jwks_uri.`);
  }
  return jwksUri;
}

function anotherIssuer(url: string, found: unknown, { issuer }: IssuerPolicy): Error {
  const bySlash =
    typeof found === 'string' && found.replace(/\/$/, '') === issuer.replace(/\/$/, '');
  return new Error(
    `The discovery document at ${url} is of issuer ${JSON.stringify(found)}, not ${JSON.stringify(issuer)}.` +
      (bySlash ? ` They differ by the slash at the end: write ${JSON.stringify(found)}.` : ''),
  );
}

/** JSON documents over HTTPS; plain HTTP from loopback. */
class Documents {
  readonly #direct: Dispatcher;
  readonly #proxied: Dispatcher;

  /** `authority`: PEM of those who may sign the server's certificate; undefined: whom Node believes. */
  constructor(env: NodeJS.ProcessEnv, authority: string | undefined) {
    const tls = authority === undefined ? {} : { ca: authority };
    this.#direct = new Agent({ connect: tls });
    this.#proxied = new EnvHttpProxyAgent({
      httpProxy: '',
      httpsProxy: env['https_proxy'] ?? env['HTTPS_PROXY'] ?? '',
      noProxy: env['no_proxy'] ?? env['NO_PROXY'] ?? '',
      connect: tls,
      requestTls: tls,
    });
  }

  async fetch(url: string, signal: AbortSignal): Promise<Record<string, unknown>> {
    const { protocol, hostname } = new URL(url);
    if (protocol !== 'https:' && !(protocol === 'http:' && isLoopback(hostname))) {
      throw new Error(`${url} is not an https URL; http is accepted on loopback only.`);
    }
    const dispatcher = isLoopback(hostname) ? this.#direct : this.#proxied;
    const parsed: unknown = JSON.parse(await this.#text(url, dispatcher, signal));
    if (!isObject(parsed)) throw new Error(`${url} answered with something other than an object.`);
    return parsed;
  }

  async #text(url: string, dispatcher: Dispatcher, signal: AbortSignal): Promise<string> {
    let response: Response;
    try {
      response = await fetch(url, {
        dispatcher,
        signal,
        redirect: 'error',
        headers: { accept: 'application/json' },
      });
    } catch (error) {
      throw new Error(`${url} cannot be fetched: ${rootReason(error)}.`, { cause: error });
    }
    if (response.status !== 200) {
      await response.body?.cancel();
      throw new Error(`${url} answered with status ${response.status}.`);
    }
    return bodyText(response, url);
  }

  async close(): Promise<void> {
    await Promise.all([this.#direct.destroy(), this.#proxied.destroy()]);
  }
}

/** `fetch failed` says nothing: what is behind it does. */
function rootReason(error: unknown): string {
  let root = error;
  while (root instanceof Error && root.cause !== undefined) root = root.cause;
  const reason = reasonOf(root);
  return /certificate|self.signed/i.test(reason)
    ? `${reason} (an authority of your own is named by ca_file)`
    : reason;
}

async function bodyText(response: Response, url: string): Promise<string> {
  const chunks: Uint8Array[] = [];
  let length = 0;
  for await (const chunk of response.body ?? []) {
    length += chunk.length;
    if (length > MAX_BYTES) throw new Error(`${url} answered with more than ${MAX_BYTES} bytes.`);
    chunks.push(chunk);
  }
  return Buffer.concat(chunks).toString('utf8');
}
