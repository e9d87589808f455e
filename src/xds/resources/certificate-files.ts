/** Certificates in files, as SDS secrets that follow the files. */
import { createPrivateKey, X509Certificate } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { createSecureContext } from 'node:tls';
import type { Logger } from 'pino';
import { SecretSchema } from '#gen/envoy/extensions/transport_sockets/tls/v3/secret_pb.js';
import type { Clock, Timer } from '../../model/clock.js';
import { GatewayError, reasonOf } from '../../model/errors.js';
import { type EncodedResource, encodeResource } from '../resource.js';
import { certificateSecret, type KeyPair, trustSecret } from './secrets.js';
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
  readonly onChange: (secrets: readonly EncodedResource[]) => void;
}

interface Source {
  readonly name: string;
  readonly files: readonly string[];
  read(): EncodedResource;
}

/**
 * Reads the files again and again: Kubernetes swaps directories under them, which file notices miss.
 * What cannot be used (missing, half-written, a certificate beside another's key) is logged once and
 * the last good one stays.
 */
export class CertificateFiles {
  readonly #sources: readonly Source[];
  readonly #options: CertificateFilesOptions;
  readonly #current = new Map<string, EncodedResource>();
  readonly #failing = new Set<string>();
  #timer: Timer | undefined;

  /** @throws GatewayError SETTINGS_INVALID when a file cannot be used at the start. */
  constructor(settings: CertificateSettings, options: CertificateFilesOptions) {
    this.#options = options;
    this.#sources = sources(settings);
    for (const source of this.#sources) this.#current.set(source.name, source.read());
    this.#schedule();
  }

  /** The secrets as they are now. */
  secrets(): readonly EncodedResource[] {
    return [...this.#current.values()];
  }

  close(): void {
    this.#timer?.cancel();
  }

  #schedule(): void {
    this.#timer = this.#options.clock.setTimer(this.#options.refreshMs ?? 10_000, () => {
      this.#refresh();
      this.#schedule();
    });
  }

  #refresh(): void {
    const { logger, onChange } = this.#options;
    const changed: EncodedResource[] = [];
    for (const source of this.#sources) {
      try {
        const secret = source.read();
        this.#failing.delete(source.name);
        if (secret.version === this.#current.get(source.name)?.version) continue;
        this.#current.set(source.name, secret);
        changed.push(secret);
        logger.info({ secret: source.name, files: source.files }, 'certificate renewed');
      } catch (thrown) {
        if (!this.#failing.has(source.name)) {
          const reason = reasonOf(thrown);
          logger.error({ secret: source.name, reason }, 'certificate refused, the last one stays');
        }
        this.#failing.add(source.name);
      }
    }
    if (changed.length > 0) onChange(changed);
  }
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
