/** What a request shows to say who sends it. */
import { X509Certificate } from 'node:crypto';
import { LRUCache } from 'lru-cache';
import { peerIdentity } from '../lib/grpc/tls.js';
import { GatewayError } from '../model/errors.js';
import type { PeerCertificate } from '../model/policy.js';
import { recent } from '../lib/recent.js';
import type { Headers, CheckRequest } from './check-codec.js';

const BEARER = /^bearer( +|$)/i;

export interface Credential {
  /** Empty for none. */
  readonly token: string;
  readonly isBearer: boolean;
  /** Envoy joins the copies of a header with a comma, which no token holds. */
  readonly isRepeated: boolean;
}

const NONE: Credential = { token: '', isBearer: true, isRepeated: false };
/** By the header's value: a token is long, and to cut it out and look it up takes longer than this. */
export type Credentials = LRUCache<string, Credential>;

export function newCredentials(): Credentials {
  return new LRUCache({
    max: 10_000,
    // Nothing of what is remembered here has been verified: it may be long.
    maxSize: 8 * 1024 * 1024,
    sizeCalculation: (_, value) => value.length + 1,
  });
}

/**
 * The bearer token, in `authorization` or, from Spark's JVM client, in `authentication`; undefined if
 * there is none. Throws HEADER_DUPLICATED if there are several, TOKEN_MALFORMED for credentials of
 * another kind.
 */
export function bearerToken(headers: Headers, credentials: Credentials): string | undefined {
  const { token: first, isBearer, isRepeated } = credential(headers, 'authorization', credentials);
  const { token: second, isRepeated: isSecondRepeated } = credential(
    headers,
    'authentication',
    credentials,
  );
  if (isRepeated) throw duplicated('authorization');
  if (isSecondRepeated) throw duplicated('authentication');
  if (!isBearer) {
    throw new GatewayError(
      'TOKEN_MALFORMED',
      'The header "authorization" does not hold a bearer token. Put your token in the URL: sc://<host>:15002/;token=<token>.',
    );
  }
  if (first !== '' && second !== '' && first !== second) {
    throw new GatewayError(
      'HEADER_DUPLICATED',
      'The headers "authorization" and "authentication" hold different tokens; send one of them.',
    );
  }
  return first || second || undefined;
}

function credential(headers: Headers, name: string, credentials: Credentials): Credential {
  const value = headers.get(name);
  if (value === undefined) return NONE;
  let known = credentials.get(value);
  if (!known) {
    const trimmed = value.trim();
    const token = trimmed.replace(BEARER, '');
    const isBearer = trimmed === '' || BEARER.test(trimmed);
    known = { token, isBearer, isRepeated: value.includes(',') };
    credentials.set(value, known);
  }
  return known;
}

/**
 * Throws HEADER_DUPLICATED if one of these headers came more than once: Envoy joins the copies with a
 * comma, which none of them may hold otherwise.
 */
export function refuseDuplicates(headers: Headers, names: readonly string[]): void {
  for (const name of names) {
    if (headers.get(name)?.includes(',')) throw duplicated(name);
  }
}

export function duplicated(name: string): GatewayError {
  return new GatewayError(
    'HEADER_DUPLICATED',
    `The header "${name}" came more than once, or holds a comma; send it once.`,
  );
}

// The client's verified certificate as the policy sees it.

/** Certificates by their text as Envoy sends it: reading one costs more than all the rest of a check. */
export type PeerCertificates = LRUCache<string, PeerCertificate>;

export function newPeerCertificates(): PeerCertificates {
  return recent(1000);
}

/** undefined: the client showed no certificate. Envoy tells only of those that it verified. */
export function peerCertificate(
  request: CheckRequest,
  parsed: PeerCertificates,
): PeerCertificate | undefined {
  const { peerCertificate: encoded, peerPrincipal } = request;
  if (encoded === '') return peerPrincipal === '' ? undefined : fromPrincipal(peerPrincipal);
  let peer = parsed.get(encoded);
  if (!peer) {
    peer = fromPem(decodeURIComponent(encoded));
    parsed.set(encoded, peer);
  }
  return peer;
}

function fromPem(pem: string): PeerCertificate {
  const certificate = new X509Certificate(pem);
  const { uris: uriSans, dnsNames: dnsSans } = peerIdentity(certificate);
  // Node lists the subject's parts line by line from the most general; RFC 2253, which Envoy writes, the other way.
  const subject = certificate.subject.split('\n').toReversed().join(',');
  return { uriSans, dnsSans, subject };
}

/**
 * Without the certificate itself there is its identity only: its first URI SAN, else its first DNS
 * SAN, else its subject (envoy.service.auth.v3.AttributeContext.Peer.principal).
 */
function fromPrincipal(principal: string): PeerCertificate {
  if (principal.includes('://')) return { uriSans: [principal], dnsSans: [], subject: '' };
  if (principal.includes('=')) return { uriSans: [], dnsSans: [], subject: principal };
  return { uriSans: [], dnsSans: [principal], subject: '' };
}
