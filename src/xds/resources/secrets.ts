/** SDS secrets from PEM values. */
import { create } from '@bufbuild/protobuf';
import {
  type Secret,
  SecretSchema,
} from '#gen/envoy/extensions/transport_sockets/tls/v3/secret_pb.js';
import { SubjectAltNameMatcher_SanType } from '#gen/envoy/extensions/transport_sockets/tls/v3/common_pb.js';

/** A certificate chain (leaf first) and its private key, PEM. */
export interface KeyPair {
  readonly certificate: string;
  readonly key: string;
}

export function certificateSecret(name: string, pair: KeyPair): Secret {
  return create(SecretSchema, {
    name,
    type: {
      case: 'tlsCertificate',
      value: {
        certificateChain: inline(pair.certificate),
        privateKey: inline(pair.key),
      },
    },
  });
}

/**
 * Whom to trust. Without an authority nothing is verified, and for a listener no certificate is
 * asked for. `uriSans` and `dnsSans`, where any is given, are the names of which the peer must have one.
 */
export function trustSecret(
  name: string,
  authorities: string | undefined,
  names: { readonly uriSans?: readonly string[]; readonly dnsSans?: readonly string[] } = {},
): Secret {
  const matchers = [
    ...(names.uriSans ?? []).map((exact) => sanMatcher(SubjectAltNameMatcher_SanType.URI, exact)),
    ...(names.dnsSans ?? []).map((exact) => sanMatcher(SubjectAltNameMatcher_SanType.DNS, exact)),
  ];
  return create(SecretSchema, {
    name,
    type: {
      case: 'validationContext',
      value: {
        ...(authorities === undefined ? {} : { trustedCa: inline(authorities) }),
        matchTypedSubjectAltNames: matchers,
      },
    },
  });
}

function inline(text: string) {
  return { specifier: { case: 'inlineString' as const, value: text } };
}

function sanMatcher(sanType: SubjectAltNameMatcher_SanType, exact: string) {
  return { sanType, matcher: { matchPattern: { case: 'exact' as const, value: exact } } };
}
