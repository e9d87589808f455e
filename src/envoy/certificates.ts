/** Certificates in files, as SDS secrets that follow the files. */
import { createPrivateKey, X509Certificate } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { createSecureContext } from 'node:tls';
import { create } from '@bufbuild/protobuf';
import type { Logger } from 'pino';
import { SubjectAltNameMatcher_SanType } from '#gen/envoy/extensions/transport_sockets/tls/v3/common_pb.js';
import {
  SecretSchema,
  type Secret,
} from '#gen/envoy/extensions/transport_sockets/tls/v3/secret_pb.js';
import { Followed } from '../lib/files/followed.js';
import type { Clock } from '../model/clock.js';
import { GatewayError, reasonOf } from '../model/errors.js';
import { type EncodedResource, encodeResource } from '../xds/resource.js';
import { ResourceNames } from './settings.js';

/** Paths of PEM files. */
export interface KeyPairFiles {
  readonly certFile: string;
  readonly keyFile: string;
}

export interface CertificateSettings {
  /** The front's certificate; required when the listener speaks TLS. */
  readonly front?: KeyPairFiles;
  /** Who signs client certificates; without it none is asked for. */
  readonly clientCaFile?: string;
  /** Mutual TLS to drivers. */
  readonly drivers?: KeyPairFiles & {
    readonly caFile: string;
    /** DNS names or URIs, of which a driver's certificate must have one; none: any that the authority signed. */
    readonly names: readonly string[];
  };
}

export interface CertificateFilesOptions {
  readonly clock: Clock;
  readonly logger: Logger;
  /** How often the files are read, milliseconds; 10 s by default. */
  readonly refreshMs?: number;
  /** Given each secret that changed. */
  readonly onChange: (secret: EncodedResource) => void;
}

interface Source {
  readonly name: string;
  readonly files: readonly string[];
  readonly read: () => EncodedResource;
}

/** What cannot be used is logged once, and the last good one stays. */
export class CertificateFiles {
  readonly #secrets: readonly Followed<EncodedResource>[];

  /** @throws GatewayError SETTINGS_INVALID when a file cannot be used at the start. */
  constructor(settings: CertificateSettings, options: CertificateFilesOptions) {
    this.#secrets = sources(settings).map((source) => followed(source, options));
    for (const secret of this.#secrets) secret.start();
  }

  /** The secrets as they are now. */
  secrets(): readonly EncodedResource[] {
    return this.#secrets.map(({ current }) => current);
  }

  close(): void {
    for (const secret of this.#secrets) secret.stop();
  }
}

function followed(
  { name, files, read }: Source,
  { clock, logger, refreshMs, onChange }: CertificateFilesOptions,
): Followed<EncodedResource> {
  return new Followed({
    read,
    isSame: (a, b) => a.version === b.version,
    clock,
    refreshMs,
    onChange(secret) {
      logger.info({ secret: name, files }, 'certificate renewed');
      onChange(secret);
    },
    onFailure: (error) =>
      logger.error(
        { secret: name, reason: reasonOf(error) },
        'certificate refused, the last one stays',
      ),
  });
}

function sources(settings: CertificateSettings): readonly Source[] {
  const { front, clientCaFile, drivers } = settings;
  return [
    ...(front
      ? [pairSource(ResourceNames.frontCertificate, front), clientCaSource(clientCaFile)]
      : []),
    ...(drivers
      ? [
          pairSource(ResourceNames.driverClientCertificate, drivers),
          trustSource(ResourceNames.driverCa, drivers.caFile, drivers.names),
        ]
      : []),
  ];
}

function pairSource(name: string, { certFile, keyFile }: KeyPairFiles): Source {
  return {
    name,
    files: [certFile, keyFile],
    read: () =>
      encodeResource(SecretSchema, name, certificateSecret(name, readPair(certFile, keyFile))),
  };
}

function clientCaSource(file: string | undefined): Source {
  const name = ResourceNames.clientCa;
  if (file !== undefined) return trustSource(name, file, []);
  return {
    name,
    files: [],
    read: () => encodeResource(SecretSchema, name, trustSecret(name, undefined)),
  };
}

function trustSource(name: string, file: string, names: readonly string[]): Source {
  const uriSans = names.filter(isUri);
  const dnsSans = names.filter((sanName) => !isUri(sanName));
  return {
    name,
    files: [file],
    read: () =>
      encodeResource(
        SecretSchema,
        name,
        trustSecret(name, readAuthorities(file), { dnsSans, uriSans }),
      ),
  };
}

function isUri(name: string): boolean {
  return name.includes('://');
}

function readPair(certFile: string, keyFile: string): KeyPair {
  const certificate = readPem(certFile);
  const key = readPem(keyFile);
  const leaf = parse(certFile, () => new X509Certificate(certificate));
  const privateKey = parse(keyFile, () => createPrivateKey(key));
  if (!leaf.checkPrivateKey(privateKey)) {
    throw new GatewayError(
      'SETTINGS_INVALID',
      `The key in ${keyFile} does not belong to the certificate in ${certFile}; replace both together.`,
    );
  }
  // Also reads the rest of the chain, of which Envoy would refuse the whole if it is cut short.
  parse(certFile, () => createSecureContext({ cert: certificate, key }));
  return { certificate, key };
}

const CERTIFICATE = /-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----/g;

function readAuthorities(file: string): string {
  const text = readPem(file);
  const certificates = text.match(CERTIFICATE) ?? [];
  if (certificates.length === 0) {
    throw new GatewayError('SETTINGS_INVALID', `${file} holds no PEM certificate.`);
  }
  for (const certificate of certificates) parse(file, () => new X509Certificate(certificate));
  return text;
}

function readPem(file: string): string {
  return parse(file, () => readFileSync(file, 'utf8'));
}

function parse<T>(file: string, read: () => T): T {
  try {
    return read();
  } catch (cause) {
    const why = reasonOf(cause);
    throw new GatewayError('SETTINGS_INVALID', `${file} cannot be used: ${why}.`, { cause });
  }
}

// SDS secrets from PEM values.

/** A certificate chain (leaf first) and its private key, PEM. */
interface KeyPair {
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
