/** Fetches an issuer's keys: its discovery document, then the key set that the document names. */
import type { JSONWebKeySet } from 'jose';
import { isLoopback } from '../../model/address.js';
import { isObject } from '../../model/json.js';
import type { IssuerPolicy } from '../../model/policy.js';

/** Resolves with the issuer's current keys; rejects with an Error that says what is wrong. */
export type FetchKeys = (issuer: IssuerPolicy, signal: AbortSignal) => Promise<JSONWebKeySet>;

/** No discovery document or key set comes near this size. */
const MAX_BYTES = 1024 * 1024;
const TIMEOUT_MS = 5_000;

/** OpenID Connect Discovery 1.0, section 4. */
export const fetchKeysOverHttp: FetchKeys = async (issuer, signal) => {
  const limited = AbortSignal.any([signal, AbortSignal.timeout(TIMEOUT_MS)]);
  const keySet = await fetchJson(issuer.jwksUri ?? (await discover(issuer, limited)), limited);
  if (!Array.isArray(keySet['keys'])) throw new Error('The key set has no list "keys".');
  return { keys: keySet['keys'] };
};

async function discover(issuer: IssuerPolicy, signal: AbortSignal): Promise<string> {
  const url =
    issuer.discoveryUrl ?? `${issuer.issuer.replace(/\/$/, '')}/.well-known/openid-configuration`;
  const document = await fetchJson(url, signal);
  if (document['issuer'] !== issuer.issuer) {
    throw new Error(
      `The discovery document at ${url} is of issuer ${JSON.stringify(document['issuer'])}, not ${JSON.stringify(issuer.issuer)}.`,
    );
  }
  const jwksUri = document['jwks_uri'];
  if (typeof jwksUri !== 'string') {
    throw new Error(`The discovery document at ${url} has no jwks_uri.`);
  }
  return jwksUri;
}

async function fetchJson(url: string, signal: AbortSignal): Promise<Record<string, unknown>> {
  const { protocol, hostname } = new URL(url);
  if (protocol !== 'https:' && !(protocol === 'http:' && isLoopback(hostname))) {
    throw new Error(`${url} is not an https URL; http is accepted on loopback only.`);
  }
  const response = await fetch(url, {
    signal,
    redirect: 'error',
    headers: { accept: 'application/json' },
  });
  if (response.status !== 200) {
    await response.body?.cancel();
    throw new Error(`${url} answered with status ${response.status}.`);
  }
  const parsed: unknown = JSON.parse(await bodyText(response, url));
  if (!isObject(parsed)) throw new Error(`${url} answered with something other than an object.`);
  return parsed;
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
