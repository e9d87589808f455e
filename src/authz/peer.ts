/** The client's verified certificate as the policy sees it. */
import { X509Certificate } from 'node:crypto';
import { LRUCache } from 'lru-cache';
import type { PeerCertificate } from '../model/policy.js';
import type { CheckRequest } from './check-codec.js';

/** Certificates by their text as Envoy sends it: reading one costs more than all the rest of a check. */
const parsed = new LRUCache<string, PeerCertificate>({ max: 1000 });

/** undefined: the client showed no certificate. Envoy tells only of those that it verified. */
export function peerCertificate(request: CheckRequest): PeerCertificate | undefined {
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
  const uriSans: string[] = [];
  const dnsSans: string[] = [];
  for (const name of alternativeNames(certificate.subjectAltName ?? '')) {
    if (name.startsWith('URI:')) uriSans.push(name.slice('URI:'.length));
    else if (name.startsWith('DNS:')) dnsSans.push(name.slice('DNS:'.length));
  }
  // Node lists the subject's parts line by line from the most general; RFC 2253, which Envoy writes, the other way.
  const subject = certificate.subject.split('\n').toReversed().join(',');
  return { uriSans, dnsSans, subject };
}

/** Splits Node's `URI:a, DNS:b`; names with special characters are quoted as JSON (CVE-2021-44532). */
function alternativeNames(text: string): string[] {
  const names = text.match(/[A-Za-z ]+:(?:"(?:[^"\\]|\\.)*"|[^,]*)/g) ?? [];
  return names.map((name) => {
    const [, kind = '', value = ''] = /^ *([A-Za-z ]+):(.*)$/s.exec(name) ?? [];
    return `${kind}:${value.startsWith('"') ? String(JSON.parse(value)) : value}`;
  });
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
