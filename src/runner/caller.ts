/** Who calls the Runner: a service by its certificate, and the person that it says to act for. */
import { X509Certificate } from 'node:crypto';
import { create } from '@bufbuild/protobuf';
import type { Metadata } from '@grpc/grpc-js';
import { type BatchCaller, BatchCallerSchema } from '#gen/spark_gateway/v1/batch_pb.js';
import { peerIdentity } from '../lib/grpc/tls.js';
import { GatewayError } from '../model/errors.js';
import { GROUP_HEADER } from '../model/names.js';

/** What a grpc-js call of any kind has. */
export interface IdentifiableCall {
  readonly metadata: Metadata;
  getAuthContext(): { readonly sslPeerCertificate?: { readonly raw: Buffer } } | null;
}

export interface CallerRules {
  /** URI or DNS names of which a caller's certificate must have one; empty: any certificate will do. */
  readonly allowedSans: readonly string[];
  /** The request header that names whom a service acts for. */
  readonly userHeader: string;
}

const MAX_GROUPS = 500;

/** Throws CALLER_UNKNOWN for a certificate that may not call, ARGUMENT_INVALID for headers that cannot be believed. */
export function callerOf(call: IdentifiableCall, rules: CallerRules): BatchCaller {
  const certificate = call.getAuthContext()?.sslPeerCertificate;
  const peer = certificate && new X509Certificate(certificate.raw);
  const { uris, dnsNames } = peer ? peerIdentity(peer) : { uris: [], dnsNames: [] };
  const { allowedSans, userHeader } = rules;
  if (peer && allowedSans.length > 0) {
    const isAllowed = [...uris, ...dnsNames].some((name) => allowedSans.includes(name));
    if (!isAllowed) {
      throw new GatewayError(
        'CALLER_UNKNOWN',
        'Your certificate has none of the names that may call the Runner: ask for one in runner.allowed_sans.',
      );
    }
  }
  const users = textsOf(call.metadata, userHeader);
  if (users.length > 1) {
    throw new GatewayError(
      'HEADER_DUPLICATED',
      `The header ${userHeader} names several users, or has a comma that is not written as %2C.`,
    );
  }
  const groups = textsOf(call.metadata, GROUP_HEADER);
  if (groups.length > MAX_GROUPS) {
    throw new GatewayError(
      'ARGUMENT_INVALID',
      `${groups.length} headers ${GROUP_HEADER} are too many: at most ${MAX_GROUPS}.`,
    );
  }
  return create(BatchCallerSchema, {
    uriSans: [...uris],
    dnsSans: [...dnsNames],
    subject: peer ? subjectOf(peer) : '',
    user: users[0] ?? '',
    groups,
  });
}

/** For whom a job is submitted: the message says so, and the header, when there, agrees. */
export function submittingFor(caller: BatchCaller, user: string): BatchCaller {
  if (caller.user !== '' && user !== '' && caller.user !== user) {
    throw new GatewayError(
      'ARGUMENT_INVALID',
      'The field "user" and the header that names the user differ: say one of them only.',
    );
  }
  return user === '' ? caller : { ...caller, user };
}

/** As RFC 4514 writes it, and Envoy too: the last attribute first. Node has a line for each. */
function subjectOf({ subject }: X509Certificate): string {
  return subject.split('\n').toReversed().join(',');
}

/** Of a header that may come again, or hold several with commas between: each percent-encoded (RFC 3986). */
function textsOf(metadata: Metadata, name: string): string[] {
  return metadata
    .get(name)
    .flatMap((value) => String(value).split(','))
    .map((text) => text.trim())
    .filter((text) => text !== '')
    .map((text) => decoded(name, text));
}

function decoded(name: string, text: string): string {
  try {
    return decodeURIComponent(text);
  } catch (cause) {
    throw new GatewayError(
      'ARGUMENT_INVALID',
      `The header ${name} holds ${JSON.stringify(text.slice(0, 100))}, which is not percent-encoded: write "%" as "%25".`,
      { cause },
    );
  }
}
